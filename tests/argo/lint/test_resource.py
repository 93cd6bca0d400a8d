# SPDX-License-Identifier: Apache-2.0
"""`accelchain argo resource`: steps for clusters that allow no plugin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accelchain.api import DataFlow
from accelchain.argo.core.body import StepError
from accelchain.argo.core.identity import node_id
from accelchain.argo.core.resource import resource_template
from accelchain.argo.core.yaml_text import read
from accelchain.cli.commands import cli

JsonObject = dict[str, Any]

FLOW: JsonObject = {
    "chainRef": {"name": "person-detection"},
    "parameters": {"threshold": "{{inputs.parameters.the-threshold}}"},
    "inputs": {"video": {"uri": "s3://videos/{{inputs.parameters.key}}"}},
    "outputs": {
        "annotated": {"uri": "s3://results/{{workflow.uid}}/{{inputs.parameters.key}}"},
        "detections": {"uri": "s3://results/{{=inputs.parameters.key + '.jsonl'}}"},
    },
    "activeDeadlineSeconds": "{{inputs.parameters.deadline}}",
    "rate": {"framesPerSecond": 8},
}
STEP: JsonObject = {
    "name": "detect",
    "inputs": {"parameters": [{"name": "key"}, {"name": "the-threshold"}, {"name": "deadline"}]},
    "retryStrategy": {"limit": 2},
    "timeout": "1h",
    "plugin": {"accelchain": {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": FLOW}},
}


def with_body(**fields: Any) -> JsonObject:
    return {**STEP, "plugin": {"accelchain": {**STEP["plugin"]["accelchain"], **fields}}}


def with_outputs(*parameters: JsonObject, **body: Any) -> JsonObject:
    return {**with_body(**body), "outputs": {"parameters": list(parameters)}}


def substituted(manifest: str, values: Mapping[str, str]) -> str:
    """What Argo makes of a manifest: plain variables, and the few forms of expressions that we write.

    See argoproj/argo-workflows v4.1.2, util/template/expression_template.go; both releases were held against this.
    """

    def looked_up(name: str) -> str:
        return values[re.sub(r"\['([^']+)'\]", r".\1", name)]

    def one(tag: re.Match[str]) -> str:
        inner = tag[1].strip()
        if not inner.startswith("="):
            return values[inner]
        if text := re.fullmatch(r"=toJson\(string\(([\w.\[\]'-]+)\)\)\[1:-1\]", inner):
            return json.dumps(looked_up(text[1]))[1:-1]
        if joined := re.fullmatch(r"=toJson\(string\(([\w.]+) \+ '([^']*)'\)\)\[1:-1\]", inner):
            return json.dumps(looked_up(joined[1]) + joined[2])[1:-1]
        if number := re.fullmatch(r"=toJson\(asFloat\(([\w.\[\]'-]+)\)\)", inner):
            return json.dumps(float(looked_up(number[1])))
        assert "pod.name == workflow.name" in inner, inner
        workflow, pod = values["workflow.name"], values["pod.name"]
        return workflow if pod == workflow else f"{workflow}-{pod.split('-')[-1]}"

    return re.sub(r"\{\{(.+?)\}\}", one, manifest)


VALUES = {
    "workflow.name": "wf",
    "workflow.uid": "0f-1",
    "pod.name": f"wf-detect-{node_id('wf', 'wf.detect(0)').removeprefix('wf-')}",
    "node.name": 'wf.detect(0:{"a":"b"})',
    "retries": "1",
    "inputs.parameters.key": 'a "b"\\c\n{d: e}.mp4',
    "inputs.parameters.the-threshold": "0.4",
    "inputs.parameters.deadline": "60",
}


@pytest.fixture
def created() -> Callable[[JsonObject], JsonObject]:
    """The object that the step's pod creates."""

    def create(template: JsonObject) -> JsonObject:
        manifest = resource_template(template)["resource"]["manifest"]
        made: JsonObject = yaml.safe_load(substituted(manifest, VALUES))
        return made

    return create


def test_the_pod_creates_the_flow_that_the_plugin_would(created: Callable[[JsonObject], JsonObject]) -> None:
    flow = created(STEP)
    spec = DataFlow.model_validate({**flow, "metadata": {}}).spec  # what an API server takes as it is
    assert spec.active_deadline_seconds == 60
    assert spec.parameters == {"threshold": "0.4"}
    assert spec.inputs["video"].uri == "s3://videos/" + VALUES["inputs.parameters.key"]
    assert spec.outputs["annotated"].uri == "s3://results/0f-1/" + VALUES["inputs.parameters.key"]
    assert spec.outputs["detections"].uri.endswith(".mp4.jsonl")


def test_the_flow_belongs_to_its_workflow_and_its_node(created: Callable[[JsonObject], JsonObject]) -> None:
    meta = created(STEP)["metadata"]
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Workflow", "wf", "0f-1")
    assert owner["blockOwnerDeletion"] is False
    assert meta["labels"]["workflows.argoproj.io/workflow"] == "wf"
    assert meta["annotations"]["accelchain.io/node-id"] == node_id("wf", "wf.detect(0)")
    assert meta["annotations"]["accelchain.io/node-name"] == VALUES["node.name"]
    assert meta["annotations"]["accelchain.io/node-attempt"] == "1"
    assert "name" not in meta and meta["generateName"].startswith(VALUES["pod.name"])


def test_a_flow_that_outlives_its_workflow_has_no_owner(created: Callable[[JsonObject], JsonObject]) -> None:
    assert "ownerReferences" not in created(with_body(owner="None", completeWhen="Running"))["metadata"]


def test_no_attempt_is_noted_where_argo_counts_none(created: Callable[[JsonObject], JsonObject]) -> None:
    once = {key: value for key, value in STEP.items() if key != "retryStrategy"}
    assert "accelchain.io/node-attempt" not in created(once)["metadata"]["annotations"]


def test_a_refused_flow_fails_the_step() -> None:
    resource = resource_template(STEP)["resource"]
    assert resource["action"] == "create"
    assert resource["successCondition"] == "status.phase == Succeeded"
    assert resource["failureCondition"] == "status.phase in (Failed, Refused)"
    assert "Running" in resource_template(with_body(completeWhen="Running"))["resource"]["successCondition"]


def test_everything_else_of_the_template_stays() -> None:
    made = resource_template(STEP)
    assert {k: v for k, v in made.items() if k != "resource"} == {k: v for k, v in STEP.items() if k != "plugin"}
    assert "plugin" in STEP  # the author's is not changed


def test_outputs_are_read_where_the_plugin_reads_them() -> None:
    supplied = {"valueFrom": {"supplied": {}}}
    made = resource_template(
        with_outputs(
            {"name": "annotated", **supplied},
            {"name": "frames", **supplied},
            {"name": "people", "globalName": "people", "valueFrom": {"supplied": {}, "default": "0"}},
            {"name": "dataflow", **supplied},
            {"name": "seconds", **supplied},
            results={"people": "write.detections"},
        )
    )
    found = {p["name"]: p for p in made["outputs"]["parameters"]}
    assert found["annotated"]["valueFrom"] == {"jsonPath": "{.spec.outputs.annotated.uri}"}
    assert found["frames"]["valueFrom"] == {"jsonPath": "{.status.progress.frames}"}
    assert found["dataflow"]["valueFrom"] == {"jsonPath": "{.metadata.name}"}
    people = found["people"]["valueFrom"]["jqFilter"]
    assert 'select(.name == "write.detections")' in people and people.endswith('// "0"')
    assert found["people"]["globalName"] == "people"
    assert "completionTime" in found["seconds"]["valueFrom"]["jqFilter"]


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({"name": "x", "plugin": {"hello": {}}}, "plugin"),
        (with_body(node=None), "plugin.accelchain.node"),
        (with_body(completeWhen="{{inputs.parameters.key}}"), "plugin.accelchain.completeWhen"),
        (with_body(dataflow={**FLOW, "activeDeadlineSeconds": "{{inputs.parameters.deadline}}0"}),
         "plugin.accelchain.dataflow.activeDeadlineSeconds"),
        ({**STEP, "inputs": {"artifacts": [{"name": "video"}]}}, "inputs.artifacts[0]"),
        ({**STEP, "outputs": {"artifacts": [{"name": "annotated"}]}}, "outputs.artifacts[0]"),
        (with_outputs({"name": "no-such", "valueFrom": {"supplied": {}}}), "outputs.parameters[0].name"),
        (with_outputs({"name": "frames", "valueFrom": {"supplied": {}, "default": "{{workflow.uid}}"}}),
         "outputs.parameters[0].valueFrom.default"),
    ],
)  # fmt: skip
def test_what_a_resource_template_can_not_do_is_refused(template: JsonObject, path: str) -> None:
    with pytest.raises(StepError) as refused:
        resource_template(template)
    assert refused.value.path == path
    assert refused.value.message.endswith(".")


def test_whole_files_are_rewritten_and_the_rest_of_them_stays(tmp_path: Path) -> None:
    other = {"name": "y", "container": {"image": "busybox", "args": ["yes", "y", "2020-01-01", "a\nb"]}}
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "x-"},
        "spec": {"entrypoint": "detect", "templates": [STEP, other]},
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    (tmp_path / "in.yaml").write_text(json.dumps(workflow) + "\n---\n" + json.dumps(config))
    done = CliRunner().invoke(cli, ["argo", "resource", str(tmp_path / "in.yaml"), "-o", str(tmp_path / "out.yaml")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out.yaml").read_text()
    first, second = yaml.safe_load_all(text)
    assert "resource" in first["spec"]["templates"][0]
    assert first["spec"]["templates"][1] == other
    assert second == config
    assert "name: 'y'" in text  # y is a boolean for Argo's YAML


def test_what_argo_reads_is_what_it_reads_afterwards(tmp_path: Path) -> None:
    text = json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"templates": [STEP]}})
    (tmp_path / "in.yaml").write_text(text[:-1] + ", metadata: {a: y, b: 'y', c: 12:30, d: 1e3, e: 010}}")
    done = CliRunner().invoke(cli, ["argo", "resource", str(tmp_path / "in.yaml"), "-o", str(tmp_path / "out.yaml")])
    assert done.exit_code == 0, done.output
    (document,) = read((tmp_path / "out.yaml").read_text())
    assert document["metadata"] == {"a": True, "b": "y", "c": "12:30", "d": 1000.0, "e": 8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a: [", "no YAML"),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {templates: []}}", "nothing to rewrite"),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: wf}, spec: {templates: "
         "[{name: a, plugin: {accelchain: {}}}]}}", "Workflow/wf template a: plugin.accelchain.node: "),
    ],
)  # fmt: skip
def test_files_that_can_not_be_rewritten_leave_nothing(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "in.yaml").write_text(text)
    done = CliRunner().invoke(cli, ["argo", "resource", str(tmp_path / "in.yaml"), "-o", str(tmp_path / "out.yaml")])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "out.yaml").exists()


def test_validate_looks_into_what_a_resource_template_creates(tmp_path: Path) -> None:
    chain: JsonObject = {
        "inputs": [{"name": "video"}],
        "outputs": [{"name": "small"}],
        "functions": [
            {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
            {
                "name": "resize",
                "type": "filter-resize",
                "parameters": {"width": "{{inputs.parameters.w}}", "height": 9},
            },
            {"name": "encode", "type": "encode-vidoe", "parameters": {"uri": "$(outputs.small.uri)"}},
        ],
        "connections": [
            {"from": "decode.frames", "to": "resize.frames"},
            {"from": "resize.frames", "to": "encode.nope"},
        ],
    }
    flow = {"inputs": {"video": {"uri": "s3://v/a.mp4"}}, "outputs": {"small": {"uri": "s3://r/a.mp4"}}}
    step = {
        "name": "shrink",
        "inputs": {"parameters": [{"name": "w"}]},
        "plugin": {
            "accelchain": {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": {"chain": chain, **flow}}
        },
    }
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "a-"}}

    def told(template: JsonObject) -> tuple[int, str]:
        file = tmp_path / "w.yaml"
        file.write_text(yaml.safe_dump({**head, "spec": {"entrypoint": "shrink", "templates": [template]}}))
        done = CliRunner().invoke(cli, ["validate", str(file)])
        return done.exit_code, done.output

    code, said = told(resource_template(step))
    assert code == 2
    assert "template shrink: resource.manifest: spec.chain.functions[2].type: no function 'encode-vidoe'" in said
    assert "resource.manifest: spec.chain.functions[1].parameters.height: 9 is below" in said
    chain["functions"][2]["type"], chain["connections"][1]["to"] = "encode-video", "encode.frames"
    chain["functions"][1]["parameters"]["height"] = 90
    code, said = told(resource_template(step))
    assert (code, "1 step of accelchain, valid" in said) == (0, True), said
