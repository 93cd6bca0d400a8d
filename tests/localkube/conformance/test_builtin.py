# SPDX-License-Identifier: Apache-2.0
"""Built-in kinds: pods, config maps, secrets, events, reviews, and the server's own pages."""

from __future__ import annotations

import base64

import pytest


@pytest.fixture
def core(namespace):
    return f"/api/v1/namespaces/{namespace}"


def pod(name, **spec):
    containers = [{"name": "main", "image": "example.invalid/image"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def test_a_pod_begins_pending_with_defaults(rest, core):
    made = rest.post(f"{core}/pods", pod("p")).ok()
    assert made["status"]["phase"] == "Pending"
    assert (made["spec"]["restartPolicy"], made["spec"]["terminationGracePeriodSeconds"]) == ("Always", 30)


def test_a_pod_without_containers_is_refused(rest, core):
    assert "spec.containers" in rest.post(f"{core}/pods", {**pod("p"), "spec": {}}).refused(422)


def test_an_unbound_pod_goes_at_once(rest, core):
    rest.post(f"{core}/pods", pod("p", nodeSelector={"no": "node"})).ok()
    rest.delete(f"{core}/pods/p").ok()
    rest.get(f"{core}/pods/p").refused(404)


def test_a_bound_pod_waits_for_its_kubelet(rest, core):
    rest.post(f"{core}/pods", pod("p", nodeName="no-such-node", terminationGracePeriodSeconds=60)).ok()
    going = rest.delete(f"{core}/pods/p").ok()["metadata"]
    assert (going["deletionGracePeriodSeconds"], bool(going["deletionTimestamp"])) == (60, True)
    rest.get(f"{core}/pods/p").ok()
    rest.delete(f"{core}/pods/p", {"gracePeriodSeconds": 0}).ok()
    rest.get(f"{core}/pods/p").refused(404)


def test_binding(rest, core, namespace):
    rest.post(f"{core}/pods", pod("p", schedulerName="none")).ok()
    target = {"apiVersion": "v1", "kind": "Node", "name": "no-such-node"}
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": namespace},
        "target": target,
    }
    rest.post(f"{core}/pods/p/binding", binding).ok()
    bound = rest.get(f"{core}/pods/p").ok()
    assert bound["spec"]["nodeName"] == "no-such-node"
    assert [c["status"] for c in bound["status"]["conditions"] if c["type"] == "PodScheduled"] == ["True"]
    rest.post(f"{core}/pods/p/binding", binding).refused(409)
    found = rest.get("/api/v1/pods", fieldSelector=f"spec.nodeName=no-such-node,metadata.namespace={namespace}").ok()
    assert [item["metadata"]["name"] for item in found["items"]] == ["p"]
    rest.delete(f"{core}/pods/p", gracePeriodSeconds=0).ok()


def test_pod_status_has_its_own_address(rest, core):
    rest.post(f"{core}/pods", pod("p", schedulerName="none")).ok()
    assert rest.merge(f"{core}/pods/p", {"status": {"phase": "Running"}}).ok()["status"]["phase"] == "Pending"
    assert rest.merge(f"{core}/pods/p/status", {"status": {"message": "m"}}).ok()["status"]["message"] == "m"


def test_an_immutable_config_map(rest, core):
    rest.post(f"{core}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True}).ok()
    assert "immutable" in rest.merge(f"{core}/configmaps/c", {"data": {"a": "2"}}).refused(422)
    assert "immutable" in rest.merge(f"{core}/configmaps/c", {"immutable": False}).refused(422)
    rest.merge(f"{core}/configmaps/c", {"metadata": {"labels": {"x": "y"}}}).ok()


def test_config_maps_hold_strings(rest, core):
    rest.post(f"{core}/configmaps", {"metadata": {"name": "c"}, "data": {"a": {"b": 1}}}).refused(400)


def test_secrets_encode_string_data(rest, core):
    body = {"metadata": {"name": "s"}, "stringData": {"token": "geheim"}}
    made = rest.post(f"{core}/secrets", body).ok()
    assert "stringData" not in made and base64.b64decode(made["data"]["token"]) == b"geheim"
    assert made["type"] == "Opaque"
    rest.merge(f"{core}/secrets/s", {"type": "other"}).refused(422)


def test_events_have_two_faces(rest, core, namespace):
    about = {"kind": "Widget", "name": "w", "namespace": namespace}
    body = {
        "metadata": {"generateName": "e-"}, "involvedObject": about, "reason": "Tested", "message": "hello",
        "type": "Normal", "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z", "count": 2,
    }  # fmt: skip
    name = rest.post(f"{core}/events", body).ok()["metadata"]["name"]
    shown = rest.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/{name}").ok()
    assert (shown["note"], shown["regarding"]["name"], shown["deprecatedCount"]) == ("hello", "w", 2)
    found = rest.get(f"{core}/events", fieldSelector="involvedObject.name=w,type=Normal").ok()["items"]
    assert [item["metadata"]["name"] for item in found] == [name]
    modern = {
        "metadata": {"generateName": "m-"}, "regarding": about, "reason": "Tested", "note": "again", "type": "Normal",
        "action": "Testing", "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "test.io/c",
        "reportingInstance": "c-1",
    }  # fmt: skip
    name = rest.post(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", modern).ok()["metadata"]["name"]
    assert rest.get(f"{core}/events/{name}").ok()["message"] == "again"


def test_strategic_merge_of_pods_and_config_maps(rest, core):
    media = "application/strategic-merge-patch+json"
    rest.post(
        f"{core}/configmaps", {"metadata": {"name": "c", "finalizers": ["a.io/x"]}, "data": {"a": "1", "b": "2"}}
    ).ok()
    patch = {"data": {"a": None, "c": "3"}, "metadata": {"finalizers": ["b.io/y"]}}
    changed = rest("PATCH", f"{core}/configmaps/c", patch, media).ok()
    assert changed["data"] == {"b": "2", "c": "3"} and sorted(changed["metadata"]["finalizers"]) == ["a.io/x", "b.io/y"]
    removal = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.io/x", "b.io/y"]}}
    assert "finalizers" not in rest("PATCH", f"{core}/configmaps/c", removal, media).ok()["metadata"]
    rest.post(f"{core}/pods", pod("p", schedulerName="none")).ok()
    image = {"spec": {"containers": [{"name": "main", "image": "example.invalid/other"}]}}
    container = rest("PATCH", f"{core}/pods/p", image, media).ok()["spec"]["containers"]
    assert len(container) == 1 and container[0]["image"] == "example.invalid/other"
    assert container[0]["terminationMessagePath"] == "/dev/termination-log"


def test_leases_are_locks(rest, namespace):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    lease = rest.post(path, {"metadata": {"name": "l"}, "spec": spec}).ok()
    rest.put(f"{path}/l", {**lease, "spec": {**spec, "holderIdentity": "b"}}).ok()
    rest.put(f"{path}/l", {**lease, "spec": {**spec, "holderIdentity": "c"}}).refused(409, "Conflict")


@pytest.mark.parametrize("kind", ["SelfSubjectAccessReview", "SubjectAccessReview"])
def test_access_reviews(rest, kind):
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    if kind == "SubjectAccessReview":
        spec = {**spec, "user": "someone", "groups": ["system:masters"]}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    answer = rest.post(f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body).ok()
    assert answer["status"]["allowed"] is True and answer["spec"] == spec


def test_pages_of_the_server(rest):
    assert rest.get("/version").ok()["major"] == "1"
    assert rest.get("/readyz").ok() == "ok" == rest.get("/livez").ok()
    assert "api/v1" in rest.get("/openapi/v3").ok()["paths"]
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    found = rest.get("/api", headers=accept)
    assert found.ok()["kind"] == "APIGroupDiscoveryList" and "as=APIGroupDiscoveryList" in found.headers["Content-Type"]
    for path in ("/nothing", "/apis/no.such.group/v1/things"):
        answer = rest.get(path)
        assert (answer.code, answer.text.strip()) == (404, "404 page not found")
    rest.get("/api/v1/gizmos").refused(404, "NotFound")
