# SPDX-License-Identifier: Apache-2.0
"""kubectl as users have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WIDGET = """
apiVersion: conformance.accelchain.test/v1
kind: Widget
metadata: {name: a}
spec: {size: 3, node: n1}
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: {app: z}}
data: {one: "1", two: "2"}
"""


@pytest.fixture(autouse=True)
def _served(widgets_served):
    pass


def test_apply_in_its_three_ways(kubectl):
    assert "created" in kubectl("apply", "-f-", stdin=WIDGET + "---" + CONFIG)
    assert kubectl("apply", "-f-", stdin=WIDGET + "---" + CONFIG).count("unchanged") == 2
    changed = CONFIG.replace(', two: "2"', ', three: "3"')
    assert "configured" in kubectl("apply", "-f-", "--dry-run=server", stdin=changed)
    assert "configured" in kubectl("apply", "-f-", stdin=changed)
    assert json.loads(kubectl("get", "cm", "c", "-o", "json"))["data"] == {"one": "1", "three": "3"}
    again = WIDGET.replace("size: 3", "size: 4")
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f-", stdin=again)
    assert kubectl("get", "widget", "a", "-o", "jsonpath={.spec.size}") == "4"


def test_a_conflict_of_server_side_apply_is_explained(kubectl):
    kubectl("apply", "--server-side", "--field-manager", "one", "-f-", stdin=WIDGET)
    other = WIDGET.replace("size: 3", "size: 5")
    said = kubectl("apply", "--server-side", "--field-manager", "two", "-f-", stdin=other, fails=True)
    assert 'conflict with "one"' in said and ".spec.size" in said


def test_get_in_its_forms(kubectl):
    kubectl("apply", "-f-", stdin=WIDGET)
    table = kubectl("get", "wdg").splitlines()
    assert table[0].split() == ["NAME", "SIZE", "READY", "AGE"] and table[1].split()[:2] == ["a", "3"]
    assert "NODE" in kubectl("get", "things", "-o", "wide")
    assert kubectl("get", "widgets", "-o", "name") == "widget.conformance.accelchain.test/a\n"
    assert "size: 3" in kubectl("get", "widgets/a", "-o", "yaml")
    assert kubectl("get", "widgets", "-o", "custom-columns=N:.metadata.name", "--no-headers") == "a\n"
    assert kubectl("get", "widgets", "-o", "go-template={{len .items}}") == "1"
    assert "NAMESPACE" in kubectl("get", "widgets", "-A")
    assert "No resources found" in kubectl("get", "widgets", "-l", "app=none")
    assert "a" in kubectl("get", "widgets", "--field-selector", "spec.node=n1")
    assert "NotFound" in kubectl("get", "widget", "b", fails=True)


def test_a_column_shows_the_first_of_several_values_and_a_list_as_json(kubectl):
    spec = "{parts: [{name: a, count: 2}, {name: b, count: 3}], tags: [p, q], free: {k: 1, j: [true]}}"
    kubectl("apply", "-f-", stdin=WIDGET.replace("{size: 3, node: n1}", spec))
    row = kubectl("get", "widgets", "-o", "wide").splitlines()[1]
    assert row.split()[-5:-1] == ["a", "2", '["p","q"]', '{"j":[true],"k":1}']


def test_labels_annotations_and_patches(kubectl):
    kubectl("apply", "-f-", stdin=WIDGET)
    assert "labeled" in kubectl("label", "widget", "a", "x=y")
    assert "annotated" in kubectl("annotate", "widget", "a", "note=1")
    assert "patched" in kubectl("patch", "widget", "a", "--type=merge", "-p", '{"spec":{"size":8}}')
    said = kubectl("patch", "widget", "a", "--type=merge", "-p", '{"spec":{"size":-1}}', fails=True)
    assert "spec.size" in said and "is invalid" in said
    assert "patched" in kubectl(
        "patch", "widget", "a", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"P"}}'
    )
    assert kubectl("get", "widget", "a", "-o", "jsonpath={.metadata.labels.x}{.spec.size}{.status.phase}") == "y8P"


def test_edit_and_replace_put_the_object_back(kubectl, tmp_path):
    kubectl("apply", "-f-", stdin=WIDGET)
    kubectl("replace", "-f-", stdin=kubectl("get", "widget", "a", "-o", "yaml").replace("size: 3", "size: 6"))
    assert kubectl("get", "widget", "a", "-o", "jsonpath={.spec.size}") == "6"


def test_unknown_fields_are_refused_by_default(kubectl):
    said = kubectl("create", "-f-", stdin=WIDGET.replace("size: 3", "sise: 3"), fails=True)
    assert 'unknown field "spec.sise"' in said
    assert "Warning" in kubectl("create", "--validate=warn", "-f-", stdin=WIDGET.replace("size: 3", "sise: 3"))


def test_diff_shows_what_would_change(kubectl):
    kubectl("apply", "-f-", stdin=WIDGET)
    assert "+  size: 7" in kubectl("diff", "-f-", stdin=WIDGET.replace("size: 3", "size: 7"), fails=True)


def test_describe_shows_events(kubectl, rest, namespace):
    kubectl("apply", "-f-", stdin=WIDGET)
    widget = json.loads(kubectl("get", "widget", "a", "-o", "json"))
    version = widget["apiVersion"]
    about = {
        "apiVersion": version,
        "kind": "Widget",
        "name": "a",
        "namespace": namespace,
        "uid": widget["metadata"]["uid"],
    }
    event = {
        "metadata": {"generateName": "a."}, "involvedObject": about, "reason": "Polished", "message": "it shines",
        "type": "Normal", "source": {"component": "test"}, "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    rest.post(f"/api/v1/namespaces/{namespace}/events", event).ok()
    assert "it shines" in kubectl("describe", "widget", "a")
    assert "it shines" in kubectl("events", "--for", "widget/a")
    assert "Polished" in kubectl("get", "events")


def test_wait_and_delete(kubectl):
    kubectl("apply", "-f-", stdin=WIDGET)
    kubectl("patch", "widget", "a", "--subresource=status", "--type=merge", "-p",
            '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}')  # fmt: skip
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "widget/a", "--timeout=10s")
    assert "condition met" in kubectl("wait", "--for=jsonpath={.spec.size}=3", "widget/a", "--timeout=10s")
    assert "timed out" in kubectl("wait", "--for=condition=Never", "widget/a", "--timeout=1s", fails=True)
    assert "deleted" in kubectl("delete", "widget", "a", "--timeout=10s")
    assert "NotFound" in kubectl("get", "widget", "a", fails=True)


def test_delete_waits_for_finalizers(kubectl):
    kubectl("apply", "-f-", stdin=WIDGET.replace("name: a", "name: a, finalizers: [x.io/hold]"))
    assert "timed out" in kubectl("delete", "widget", "a", "--timeout=1s", fails=True)
    kubectl("patch", "widget", "a", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert "NotFound" in kubectl("get", "widget", "a", fails=True)


def test_watch_sees_changes_as_they_come(kubectl, kubeconfig, namespace, tmp_path):
    kubectl("apply", "-f-", stdin=WIDGET)
    command = [str(Path(sys.executable).with_name("kubectl")), "-n", namespace, "get", "widgets", "--watch"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[0] == "NAME"
        assert watching.stdout.readline().split()[:2] == ["a", "3"]
        kubectl("patch", "widget", "a", "--type=merge", "-p", '{"spec":{"size":9}}')
        assert watching.stdout.readline().split()[:2] == ["a", "9"]
        watching.terminate()


def test_discovery_and_explain(kubectl):
    resources = kubectl("api-resources", "--api-group=conformance.accelchain.test", "-o", "wide")
    assert "wdg" in resources and "things" in resources
    assert "conformance.accelchain.test/v1" in kubectl("api-versions")
    explained = kubectl("explain", "widget.spec.parts")
    assert "KIND:       Widget" in explained and "serial" in explained and "-required-" in explained
    assert "data" in kubectl("explain", "configmap")
    assert "Server Version" in kubectl("version")


@pytest.mark.parametrize(
    "command",
    [
        ["configmap", "made", "--from-literal=a=1"],
        ["secret", "generic", "made", "--from-literal=a=1"],
        ["serviceaccount", "made"],
        ["role", "made", "--verb=get", "--resource=pods"],
    ],
)
def test_create_without_a_file(kubectl, command):
    assert "created" in kubectl("create", *command)
    assert "made" in kubectl("get", command[0])


def test_create_token(kubectl, rest, namespace):
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot", "--duration=1h").strip()
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = rest.as_token(token).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who).ok()
    assert answer["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"
    assert "not found" in kubectl("create", "token", "nobody", fails=True)


def test_create_namespace(kubectl, namespace):
    assert "created" in kubectl("create", "namespace", f"{namespace}-more")
    assert "deleted" in kubectl("delete", "namespace", f"{namespace}-more", "--timeout=10s")


def test_auth_can_i(kubectl):
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"


def test_run_and_pods(kubectl):
    kubectl(
        "run", "p", "--image=example.invalid/i", "--restart=Never", "--overrides", '{"spec":{"schedulerName":"none"}}'
    )
    row = kubectl("get", "pods").splitlines()[1].split()
    assert row[:4] == ["p", "0/1", "Pending", "0"]
    assert "Pending" in kubectl("describe", "pod", "p")
    assert "deleted" in kubectl("delete", "pod", "p", "--timeout=10s")


def test_definitions_by_kubectl(kubectl, make_crd, namespace):
    crd = make_crd(group=f"{namespace}.accelchain.test")
    kubectl("apply", "--server-side", "-f-", stdin=json.dumps(crd))
    assert "condition met" in kubectl(
        "wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=10s"
    )
    assert "deleted" in kubectl("delete", "crd", crd["metadata"]["name"], "--timeout=10s")
