# SPDX-License-Identifier: Apache-2.0
"""What a cluster can answer, and the one sentence that a user reads of it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from accelchain.api.crd import crds
from accelchain.cli.api_errors import dropped_fields, explain, right_of
from accelchain.cli.installed import function_types
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import DATA_FLOW, FUNCTION_CHAIN, FUNCTION_TYPE

OURS = "accelchain.io"
READS = tuple((OURS, kind, "get list watch") for kind in ("dataflows", "functionchains"))
IN_CLUSTER = {"video": "s3://films/a.mp4", "annotated": "s3://films/b.mp4", "detections": "s3://films/c.jsonl"}


@pytest.fixture
def flow(demo):
    """Write a flow that a cluster could run; return its file."""

    def write(*others: dict[str, Any], **spec: Any) -> Path:
        document = demo()
        for field in ("inputs", "outputs"):
            for name, address in document["spec"][field].items():
                address["uri"] = IN_CLUSTER[name]
        document["spec"].update(spec)
        path = Path("flow.yaml")
        path.write_text(yaml.safe_dump_all([document, *others]))
        return path

    return write


def jwt(expires: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


def test_a_token_that_is_not_accepted(api, call, refused):
    said = refused(call("get", "--kubeconfig", api.kubeconfig("wrong")))
    assert "token of user localkube" in said and "log in again" in said
    assert "expired at 2020-09-13" in refused(call("get", "--kubeconfig", api.kubeconfig(jwt(1600000000))))


def test_no_login_at_all(api, call, refused):
    path = api.kubeconfig()
    document = yaml.safe_load(path.read_text())
    document["users"][0]["user"] = {}
    path.write_text(yaml.safe_dump(document))
    assert "holds no login" in refused(call("get", "--kubeconfig", path))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["get"], "user jane may not list dataflows.accelchain.io in namespace default; "),
        (["get", "df", "x"], "user jane may not get dataflows.accelchain.io in namespace default; "),
        (
            ["get", "functiontypes"],
            "user jane may not list functiontypes.accelchain.io (a right for the whole cluster)",
        ),
        (["get", "-A"], "user jane may not list dataflows.accelchain.io (a right for the whole cluster)"),
        (["delete", "x"], "user jane may not get dataflows.accelchain.io"),
    ],
)
def test_a_missing_right_is_named_with_verb_resource_and_namespace(api, call, refused, command, words):
    assert words in refused(call(*command, "--kubeconfig", api.user("jane")))


def test_a_missing_right_to_create_and_nothing_is_left(api, call, refused, flow):
    chain = {"apiVersion": f"{OURS}/v1alpha1", "kind": "FunctionChain", "metadata": {"name": "mine"}}
    jane = api.user("jane", *READS, (OURS, "functionchains", "create patch delete"))
    file = flow()
    document = yaml.safe_load(file.read_text())
    chain["spec"] = document["spec"].pop("chain")
    document["spec"]["chainRef"] = {"name": "mine"}
    file.write_text(yaml.safe_dump_all([document, chain]))
    said = refused(call("run", file, "--kubeconfig", jane))
    assert "user jane may not create dataflows.accelchain.io in namespace default" in said and "edit" in said
    assert api.call(lambda client: client.list(FUNCTION_CHAIN))[0] == [], "the chain that was made for the flow"


def test_who_may_not_see_the_catalogue_is_told_and_may_run_all_the_same(api, call, flow):
    jane = api.user("jane", *READS, (OURS, "dataflows", "create delete"))
    result = call("run", flow(), "--kubeconfig", jane, "--timeout", "0.5")
    assert result.exit_code == 1 and "had not ended after 0.5 s" in result.stderr
    assert "checked by the cluster alone: you may not list functiontypes.accelchain.io" in result.stderr
    assert "pods are not shown: you may not list pods in namespace default" in result.stderr
    assert api.call(lambda client: client.list(DATA_FLOW))[0] == []


def test_a_function_type_that_only_the_administrator_may_install(api, call, refused, flow):
    mine = function_types()[0].to_dict()
    mine["metadata"]["name"] = "mine"
    jane = api.user("jane", *READS, (OURS, "dataflows", "create delete"))
    said = refused(call("run", flow(mine), "--kubeconfig", jane))
    assert "FunctionType mine is not in this cluster, and you may not create functiontypes.accelchain.io" in said
    assert api.call(lambda client: client.list(DATA_FLOW))[0] == []


def test_definitions_that_are_there_are_used_and_none_is_overwritten(api, call, refused, flow):
    present = function_types()[0].to_dict()
    result = call("run", flow(present), "--kubeconfig", api.kubeconfig(), "--timeout", "0.3")
    assert "had not ended" in result.stderr, result.stderr
    present["spec"]["description"] = "says something else"
    said = refused(call("run", flow(present), "--kubeconfig", api.kubeconfig()))
    assert "the cluster has one that differs" in said
    assert len(api.call(lambda client: client.list(FUNCTION_TYPE))[0]) == len(function_types())


def test_no_resource_definitions(make_api, call, refused, flow):
    kubeconfig = make_api([]).kubeconfig()
    for command in (["get"], ["run", flow()], ["validate", flow()], ["logs", "x"], ["describe", "x"], ["live", "x"]):
        assert "ask its administrator to install accelchain" in refused(call(*command, "--kubeconfig", kubeconfig))


def test_resource_definitions_of_an_earlier_version(make_api, call, refused, flow):
    old = crds()
    schema = next(d for d in old if d["spec"]["names"]["kind"] == "DataFlow")["spec"]["versions"][0]["schema"]
    del schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["retries"]
    api = make_api([*old, *(t.to_dict() for t in function_types())])
    said = refused(call("run", flow(retries={"limit": 2}), "--kubeconfig", api.kubeconfig()))
    assert "older than this command and don't know spec.retries: ask the cluster's administrator to upgrade" in said
    assert api.call(lambda client: client.list(DATA_FLOW))[0] == []


def test_resource_definitions_that_refuse(make_api, call, refused, flow):
    old = crds()
    schema = next(d for d in old if d["spec"]["names"]["kind"] == "DataFlow")["spec"]["versions"][0]["schema"]
    schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["mode"]["enum"] = ["Batch"]
    api = make_api([*old, *(t.to_dict() for t in function_types())])
    said = refused(call("run", flow(mode="Stream"), "--kubeconfig", api.kubeconfig()))
    assert "spec.mode" in said and "may be of another version" in said


def test_a_namespace_that_is_not_there(api, call, refused, flow):
    said = refused(call("run", flow(), "--kubeconfig", api.kubeconfig(), "-n", "nowhere"))
    assert "there is no namespace nowhere; kubectl create namespace nowhere makes it" in said


def test_objects_that_are_not_there(api, call, refused):
    for command in (
        ["get", "df", "x"],
        ["describe", "x"],
        ["logs", "x"],
        ["delete", "x"],
        ["live", "x"],
        ["cancel", "x"],
    ):
        assert "there is no DataFlow x" in refused(call(*command, "--kubeconfig", api.kubeconfig()))


def test_a_server_that_does_not_listen(api, call, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = refused(call("get", "--kubeconfig", api.kubeconfig(server=f"https://127.0.0.1:{port}")), 1)
    assert f"127.0.0.1:{port} can't be reached" in said and "is this its kubeconfig?" in said


def test_a_server_that_is_another_ones(api, make_api, call, refused):
    other = make_api([])
    said = refused(call("get", "--kubeconfig", api.kubeconfig(server=other.kube.url)), 1)
    assert "can't be trusted" in said and "another cluster's" in said
    renamed = call("get", "--kubeconfig", api.kubeconfig(server=api.kube.url, **{"tls-server-name": "elsewhere"}))
    assert "can't be trusted" in refused(renamed, 1)


def test_a_server_that_speaks_no_tls(api, call, refused):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        server = f"https://127.0.0.1:{plain.server_port}"
        said = refused(call("get", "--kubeconfig", api.kubeconfig(server=server)), 1)
        plain.shutdown()
    assert f"no TLS connection to {server}" in said


@pytest.mark.parametrize(
    ("uris", "words"),
    [
        (
            {"inputs": {"video": {"uri": "file:///films/a.mp4"}}},
            "spec.inputs.video.uri: file:///films/a.mp4 is a file of",
        ),
        ({"inputs": {"video": {"uri": "a.mp4"}}}, "/desk/a.mp4 is a file of this machine"),
    ],
)
def test_files_of_this_machine_mean_nothing_in_a_cluster(api, call, refused, flow, uris, words):
    assert words in refused(call("run", flow(**uris), "--kubeconfig", api.kubeconfig()))


def test_files_in_a_volume_are_fine(api, call, refused, flow):
    volume = {"name": "films", "mountPath": "/films", "persistentVolumeClaim": {"claimName": "films"}}
    command = ("--kubeconfig", api.kubeconfig(), "--timeout", "0.3")
    inside = call("run", flow(volumes=[volume], inputs={"video": {"uri": "file:///films/a%20b.mp4"}}), *command)
    assert "had not ended" in inside.stderr, inside.stderr
    for path in ("/filmsy/a.mp4", "/films/../a.mp4"):
        outside = call("run", flow(volumes=[volume], inputs={"video": {"uri": f"file://{path}"}}), *command)
        assert "outside of the flow's volumes (/films)" in refused(outside)


def test_nobody_takes_the_flow_up(api, call, flow, monkeypatch):
    monkeypatch.setattr("accelchain.cli.follow.OPERATORS_DEADLINE", 0.2)
    result = call("run", flow(), "--kubeconfig", api.kubeconfig(), "--timeout", "0.6")
    assert "operators seem not to run" in result.stderr and "had not ended after 0.6 s" in result.stderr


def test_what_the_api_dropped():
    sent = {"a": 1, "b": {"c": [{"d": 1, "e": 2}], "f": {}}, "g": None}
    assert dropped_fields(sent, {"a": 1, "b": {"c": [{"d": 1}]}, "new": 3}) == ["b.c[0].e"]
    assert dropped_fields(sent, {"b": {"c": []}}) == ["a"]


def test_a_cluster_that_takes_us_for_nobody_in_particular():
    message = 'forbidden: User "system:anonymous" cannot get path "/apis/accelchain.io/v1alpha1"'
    said = explain(ApiError(403, "Forbidden", message), Connection("https://a", user="jane")).message
    assert said.startswith("the kubeconfig holds no login of user jane")


def test_rights_in_few_words():
    message = 'pods "p" is forbidden: User "j" cannot get resource "pods/log" in API group "" in the namespace "n"'
    assert right_of(ApiError(403, "Forbidden", message)) == "get pods/log in namespace n"
