# SPDX-License-Identifier: Apache-2.0
"""Finalizers, owners, namespaces, definitions."""

from __future__ import annotations

import pytest

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def owned_by(owner, **more):
    meta = owner["metadata"]
    return [
        {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], **more}
    ]


def test_an_object_without_finalizers_goes_at_once(rest, widgets):
    made = rest.post(widgets.path, widgets.make("a", {})).ok()
    answer = rest.delete(widgets.at("a")).ok()
    assert answer["status"] == "Success" and answer["details"]["uid"] == made["metadata"]["uid"]
    rest.get(widgets.at("a")).refused(404)


def test_a_finalizer_holds_the_object(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {}, finalizers=["x.io/hold"])).ok()
    going = rest.delete(widgets.at("a")).ok()["metadata"]
    assert going["deletionTimestamp"] and going["generation"] == 2
    again = rest.delete(widgets.at("a")).ok()["metadata"]
    assert again["deletionTimestamp"] == going["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["x.io/hold", "y.io/new"]}}
    assert "no new finalizers" in rest.merge(widgets.at("a"), more).refused(422)
    rest.merge(widgets.at("a"), {"metadata": {"finalizers": None}}).ok()
    rest.get(widgets.at("a")).refused(404)


def test_preconditions(rest, widgets):
    made = rest.post(widgets.path, widgets.make("a", {})).ok()
    rest.delete(widgets.at("a"), {"preconditions": {"uid": "other"}}).refused(409, "Conflict")
    rest.delete(widgets.at("a"), {"preconditions": {"uid": made["metadata"]["uid"]}}).ok()


def test_dependents_follow_their_owner(rest, widgets):
    owner = rest.post(widgets.path, widgets.make("owner", {})).ok()
    child = rest.post(widgets.path, widgets.make("child", {}, ownerReferences=owned_by(owner))).ok()
    rest.post(widgets.path, widgets.make("grandchild", {}, ownerReferences=owned_by(child))).ok()
    rest.delete(widgets.at("owner")).ok()
    rest.gone(widgets.at("child"))
    rest.gone(widgets.at("grandchild"))


def test_a_dependent_with_another_owner_stays(rest, widgets, eventually):
    one, two = (rest.post(widgets.path, widgets.make(name, {})).ok() for name in ("one", "two"))
    rest.post(widgets.path, widgets.make("child", {}, ownerReferences=owned_by(one) + owned_by(two))).ok()
    rest.delete(widgets.at("one")).ok()
    references = eventually(
        lambda: len(found := rest.get(widgets.at("child")).ok()["metadata"]["ownerReferences"]) == 1 and found,
        "the reference is still there",
    )
    assert references[0]["name"] == "two"


def test_orphans_stay(rest, widgets, eventually):
    owner = rest.post(widgets.path, widgets.make("owner", {})).ok()
    rest.post(widgets.path, widgets.make("child", {}, ownerReferences=owned_by(owner))).ok()
    rest.delete(widgets.at("owner"), {"propagationPolicy": "Orphan"}).ok()
    rest.gone(widgets.at("owner"))
    eventually(lambda: "ownerReferences" not in rest.get(widgets.at("child")).ok()["metadata"], "still owned")


def test_foreground_waits_for_blocking_dependents(rest, widgets, eventually):
    owner = rest.post(widgets.path, widgets.make("owner", {})).ok()
    references = owned_by(owner, blockOwnerDeletion=True, controller=True)
    rest.post(widgets.path, widgets.make("child", {}, ownerReferences=references, finalizers=["x.io/hold"])).ok()
    rest.delete(widgets.at("owner"), {"propagationPolicy": "Foreground"}).ok()
    eventually(lambda: rest.get(widgets.at("child")).ok()["metadata"].get("deletionTimestamp"), "child is not deleted")
    assert rest.get(widgets.at("owner")).ok()["metadata"]["finalizers"] == ["foregroundDeletion"]
    rest.merge(widgets.at("child"), {"metadata": {"finalizers": None}}).ok()
    rest.gone(widgets.at("child"))
    rest.gone(widgets.at("owner"))


def test_an_object_that_comes_after_its_owner_is_collected(rest, widgets):
    owner = rest.post(widgets.path, widgets.make("owner", {})).ok()
    rest.delete(widgets.at("owner")).ok()
    rest.post(widgets.path, widgets.make("late", {}, ownerReferences=owned_by(owner))).ok()
    rest.gone(widgets.at("late"))


def test_a_namespace_takes_its_contents_along(rest, widgets, namespace):
    rest.post(widgets.path, widgets.make("held", {}, finalizers=["x.io/hold"])).ok()
    rest.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "c"}}).ok()
    going = rest.delete(f"/api/v1/namespaces/{namespace}").ok()
    assert going["status"]["phase"] == "Terminating"
    rest.gone(f"/api/v1/namespaces/{namespace}/configmaps/c")
    refused = rest.post(widgets.path, widgets.make("new", {}))
    assert "being terminated" in refused.refused(403, "Forbidden")
    rest.get(f"/api/v1/namespaces/{namespace}").ok()
    rest.merge(widgets.at("held"), {"metadata": {"finalizers": None}}).ok()
    rest.gone(f"/api/v1/namespaces/{namespace}")


def test_default_namespaces_stay(rest):
    rest.delete("/api/v1/namespaces/kube-system").refused(403, "Forbidden")


def test_a_definition_takes_its_objects_along(rest, namespace, make_crd, eventually):
    group = f"{namespace}.accelchain.test"
    rest.post(DEFINITIONS, make_crd(group=group)).ok()
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    eventually(lambda: rest.get(path).code == 200, "not served")
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "a", "finalizers": ["x.io/hold"]}}
    rest.post(path, body).ok()
    rest.delete(f"{DEFINITIONS}/widgets.{group}").ok()
    rest.get(f"{DEFINITIONS}/widgets.{group}").ok()
    eventually(lambda: rest.get(f"{path}/a").ok()["metadata"].get("deletionTimestamp"), "the object is not deleted")
    rest.merge(f"{path}/a", {"metadata": {"finalizers": None}}).ok()
    rest.gone(f"{DEFINITIONS}/widgets.{group}")
    eventually(lambda: rest.get(path).code == 404, "still served")


def test_definitions_establish_and_appear_in_discovery(rest, widgets_served, eventually):
    crd = rest.get(f"{DEFINITIONS}/widgets.conformance.accelchain.test").ok()
    conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert crd["status"]["storedVersions"] == ["v1"]
    resources = rest.get("/apis/conformance.accelchain.test/v1").ok()["resources"]
    assert {r["name"] for r in resources} >= {"widgets", "widgets/status"}
    groups = {g["name"] for g in rest.get("/apis").ok()["groups"]}
    assert "conformance.accelchain.test" in groups


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "object", "properties": {"spec": {}}}, "spec].type"),
        ({"type": "object", "properties": {"spec": {"type": "array"}}}, "items"),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "self.spec.size >"}]},
            "x-kubernetes-validations[0].rule",
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "nosuch(self)"}]},
            "x-kubernetes-validations[0].rule",
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "slef.size > 1"}]},
            "x-kubernetes-validations[0].rule",
        ),
    ],
)
def test_definitions_with_faults_are_refused(rest, namespace, make_crd, schema, where):
    assert where in rest.post(DEFINITIONS, make_crd(schema, group=f"{namespace}.accelchain.test")).refused(
        422, "Invalid"
    )


def test_versions_show_the_same_object(rest, namespace, make_crd, eventually):
    crd = make_crd(group=f"{namespace}.accelchain.test")
    crd["spec"]["versions"].append(
        {**crd["spec"]["versions"][0], "name": "v1beta1", "storage": False, "deprecated": True}
    )
    rest.post(DEFINITIONS, crd).ok()
    base = f"/apis/{namespace}.accelchain.test"
    eventually(lambda: rest.get(f"{base}/v1/widgets").code == 200, "not served")
    body = {"apiVersion": f"{base[6:]}/v1", "kind": "Widget", "metadata": {"name": "a"}}
    rest.post(f"{base}/v1/namespaces/{namespace}/widgets", body).ok()
    shown = rest.get(f"{base}/v1beta1/namespaces/{namespace}/widgets/a")
    assert shown.ok()["apiVersion"] == f"{base[6:]}/v1beta1" and "deprecated" in shown.headers["Warning"]
    rest.delete(f"{DEFINITIONS}/{crd['metadata']['name']}").ok()
