# SPDX-License-Identifier: Apache-2.0
"""Server-side apply: owners of fields, conflicts, removal."""

from __future__ import annotations

import pytest


def owners(obj):
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in obj["metadata"]["managedFields"]
    }


def test_apply_creates_and_owns_what_it_sent(rest, widgets):
    made = rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one")
    assert made.code == 201
    assert owners(made.body) == {("one", "Apply", ""): {"f:spec": {"f:color": {}}}}
    assert made.body["spec"] == {"color": "red", "size": 1}


def test_apply_again_writes_nothing(rest, widgets):
    body = widgets.make("a", {"color": "red", "parts": [{"name": "x"}], "tags": ["t"]})
    first = rest.apply(widgets.at("a"), body, "one").ok()
    again = rest.apply(widgets.at("a"), body, "one")
    assert again.code == 200 and again.body == first


def test_yaml_is_read(rest, widgets):
    text = "apiVersion: conformance.accelchain.test/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  size: 4\n"
    assert rest.apply(widgets.at("a"), text, "one").ok()["spec"]["size"] == 4


def test_apply_needs_a_manager(rest, widgets):
    rest("PATCH", widgets.at("a"), widgets.make("a", {}), "application/apply-patch+yaml").refused(422, "Invalid")


def test_two_managers_share_an_object(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one").ok()
    both = rest.apply(widgets.at("a"), widgets.make("a", {"size": 5}), "two").ok()
    assert both["spec"] == {"color": "red", "size": 5}
    assert {key[0] for key in owners(both)} == {"one", "two"}


def test_a_conflict_names_the_owner_and_the_field(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one").ok()
    answer = rest.apply(widgets.at("a"), widgets.make("a", {"color": "blue"}), "two")
    message = answer.refused(409, "Conflict")
    assert 'conflict with "one"' in message and ".spec.color" in message
    assert answer.body["details"]["causes"][0]["field"] == ".spec.color"


def test_equal_values_are_shared_without_conflict(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one").ok()
    shared = rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "two").ok()
    assert {key[0] for key in owners(shared)} == {"one", "two"}
    left = rest.apply(widgets.at("a"), widgets.make("a", {}), "one").ok()
    assert left["spec"]["color"] == "red" and ("two", "Apply", "") in owners(left)


def test_force_takes_the_field_over(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red", "size": 2}), "one").ok()
    taken = rest.apply(widgets.at("a"), widgets.make("a", {"color": "blue"}), "two", force=True).ok()
    assert taken["spec"] == {"color": "blue", "size": 2}
    assert owners(taken)["one", "Apply", ""] == {"f:spec": {"f:size": {}}}


def test_fields_that_are_no_longer_sent_are_removed(rest, widgets):
    parts = [{"name": "x", "count": 2}, {"name": "y"}]
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red", "parts": parts, "tags": ["p", "q"]}), "one").ok()
    left = rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "y"}], "tags": ["q"]}), "one").ok()
    assert left["spec"] == {"size": 1, "parts": [{"name": "y", "count": 1}], "tags": ["q"]}


def test_items_of_others_stay_in_a_map_list(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "x"}]}), "one").ok()
    rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "y", "count": 3}]}), "two").ok()
    left = rest.apply(widgets.at("a"), widgets.make("a", {}), "one").ok()
    assert left["spec"]["parts"] == [{"name": "y", "count": 3}]


def test_two_managers_of_one_item_own_their_fields(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "x", "count": 3}]}), "one").ok()
    rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "x", "serial": "s"}]}), "two").ok()
    left = rest.apply(widgets.at("a"), widgets.make("a", {"parts": [{"name": "x"}]}), "one").ok()
    assert left["spec"]["parts"] == [{"name": "x", "count": 1, "serial": "s"}]


def test_plain_lists_are_one_value(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"order": ["x"]}), "one").ok()
    rest.apply(widgets.at("a"), widgets.make("a", {"order": ["y"]}), "two").refused(409)


def test_an_update_takes_fields_from_an_applier(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one").ok()
    changed = rest.merge(widgets.at("a"), {"spec": {"color": "green"}}, fieldManager="editor").ok()
    assert owners(changed)["editor", "Update", ""] == {"f:spec": {"f:color": {}}}
    assert ("one", "Apply", "") not in owners(changed)
    rest.apply(widgets.at("a"), widgets.make("a", {"color": "red"}), "one").refused(409)


def test_conditions_of_two_controllers(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {})).ok()
    for manager, kind in (("one", "Ready"), ("two", "Placed")):
        body = {**widgets.make("a"), "status": {"conditions": [{"type": kind, "status": "True"}]}}
        done = rest.apply(widgets.at("a", "status"), body, manager).ok()
    assert [c["type"] for c in done["status"]["conditions"]] == ["Ready", "Placed"]
    assert {key for key in owners(done) if key[1] == "Apply"} == {
        ("one", "Apply", "status"),
        ("two", "Apply", "status"),
    }
    gone = rest.apply(widgets.at("a", "status"), {**widgets.make("a"), "status": {}}, "one").ok()
    assert [c["type"] for c in gone["status"]["conditions"]] == ["Placed"]


def test_apply_of_status_needs_the_object(rest, widgets):
    rest.apply(widgets.at("a", "status"), {**widgets.make("a"), "status": {"phase": "x"}}, "one").refused(404)


def test_apply_does_not_create_an_object_with_a_uid(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {}, uid="11111111-1111-1111-1111-111111111111"), "one").refused(409)


def test_dry_run_of_apply(rest, widgets):
    rest.apply(widgets.at("a"), widgets.make("a", {"size": 3}), "one", dryRun="All").ok()
    rest.get(widgets.at("a")).refused(404)


@pytest.mark.parametrize("pod_change", [{"env": [{"name": "B", "value": "2"}]}, {"ports": [{"containerPort": 80}]}])
def test_containers_merge_by_name(rest, namespace, pod_change):
    path = f"/api/v1/namespaces/{namespace}/pods/p"
    base = {"name": "main", "image": "i", "env": [{"name": "A", "value": "1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [base]}}
    rest.apply(path, pod, "one", dryRun="All").ok()
    rest.apply(path, pod, "one").ok()
    extra = {**pod, "spec": {"containers": [{"name": "main", **pod_change}]}}
    merged = rest.apply(path, extra, "two", dryRun="All")
    if merged.code == 422:
        assert "pod updates may not change fields" in merged.body["message"]  # a real server merges, then refuses
        return
    container = merged.ok()["spec"]["containers"][0]
    assert container["image"] == "i" and {"name": "A", "value": "1"} in container["env"]
