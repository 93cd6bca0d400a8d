# SPDX-License-Identifier: Apache-2.0
"""What becomes of a file and the pairs of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accelchain.cli.errors import Refused
from accelchain.cli.inputs import absolute, check_job, read_job
from accelchain.cli.known import Known, known_here


@pytest.fixture
def file(tmp_path, monkeypatch, demo):
    """Write the demo into a folder of its own; the current folder is another."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def write(change=lambda flow: None, *others):
        flow = demo()
        change(flow)
        (tmp_path / "flows" / "flow.yaml").write_text(yaml.safe_dump_all([flow, *others]))
        return str(tmp_path / "flows" / "flow.yaml")

    return write


def test_paths_count_from_the_file_and_those_of_options_from_the_current_folder(file, tmp_path):
    job = read_job(file(), outputs=["annotated=b.mp4"])
    assert job.flow.spec.inputs["video"].uri == (tmp_path / "flows" / "people.mp4").as_uri()
    assert job.flow.spec.outputs["annotated"].uri == (tmp_path / "here" / "b.mp4").as_uri()


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("http://camera/stream", "http://camera/stream"),
        ("file:///a/b.mp4", "file:///a/b.mp4"),
        ("a/../b c.mp4", "file:///base/b%20c.mp4"),
        ("/x/ü#1.mp4", "file:///x/%C3%BC%231.mp4"),
        ("$(inputs.video.uri)", "$(inputs.video.uri)"),
    ],
)
def test_addresses(address, uri):
    assert absolute(address, Path("/base"), "it") == uri


def test_values_are_yaml_scalars_but_text_stays_text_where_a_string_is_declared(file):
    def add(flow):
        flow["spec"]["chain"]["parameters"].append({"name": "label", "type": "string", "default": "x"})

    job = read_job(file(add), parameters=["threshold=0.7", "label=007"])
    assert dict(job.flow.spec.parameters) == {"threshold": 0.7, "label": "007"}


def test_the_last_of_two_pairs_counts_and_a_value_may_hold_an_equals_sign(file):
    job = read_job(file(), outputs=["annotated=a.mp4", "annotated=b=c.mp4"])
    assert job.flow.spec.outputs["annotated"].uri.endswith("/b%3Dc.mp4")


def test_the_namespace_is_the_option_s_or_the_file_s(file):
    job = read_job(file(lambda flow: flow["metadata"].update(namespace="team")))
    assert job.namespace(None) == job.namespace("team") == "team"
    assert {obj["metadata"]["namespace"] for obj in job.objects("team")} == {"team"}
    with pytest.raises(Refused, match="--namespace says other"):
        job.namespace("other")
    assert read_job(file()).namespace(None) == "default"


def test_the_flow_comes_last_so_that_what_it_needs_is_there(file, demo):
    chain = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "FunctionChain",
        "metadata": {"name": "other"},
        "spec": demo()["spec"]["chain"],
    }
    job = read_job(file(lambda flow: None, chain))
    assert [obj["kind"] for obj in job.objects("default")] == ["FunctionChain", "DataFlow"]


def test_a_chain_may_be_known_already(file, demo):
    chain = demo()["spec"]["chain"]

    def refer(flow):
        del flow["spec"]["chain"]
        flow["spec"]["chainRef"] = {"name": "people"}

    job = read_job(file(refer))
    with pytest.raises(Refused, match=r"spec\.chainRef\.name"):
        check_job(job, known_here())
    from accelchain.api import FunctionChain

    known = Known(known_here().types, [FunctionChain.model_validate({"metadata": {"name": "people"}, "spec": chain})])
    assert len(check_job(job, known).functions) == 6


def test_every_problem_is_told(file):
    def spoil(flow):
        flow["spec"]["parameters"]["threshold"] = 9
        flow["spec"]["chain"]["functions"][1]["type"] = "nothing"

    with pytest.raises(Refused) as refused:
        check_job(read_job(file(spoil)), known_here())
    assert len(str(refused.value.message).split("\nError: ")) == 2
