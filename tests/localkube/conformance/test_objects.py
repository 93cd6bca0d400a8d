# SPDX-License-Identifier: Apache-2.0
"""Objects: identity, revisions, status, concurrency, schemas."""

from __future__ import annotations

import pytest


def test_the_server_sets_identity_and_revision(rest, widgets):
    made = rest.post(widgets.path, widgets.make("a", {"size": 3}, uid="mine", generation=7)).ok()
    meta = made["metadata"]
    assert meta["uid"] != "mine" and meta["generation"] == 1 and meta["creationTimestamp"].endswith("Z")
    changed = rest.merge(widgets.at("a"), {"spec": {"size": 4}}).ok()["metadata"]
    assert int(changed["resourceVersion"]) > int(meta["resourceVersion"])
    assert (changed["uid"], changed["generation"]) == (meta["uid"], 2)


def test_labels_do_not_change_the_generation(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {})).ok()
    assert rest.merge(widgets.at("a"), {"metadata": {"labels": {"x": "y"}}}).ok()["metadata"]["generation"] == 1


def test_a_write_that_changes_nothing_keeps_the_revision(rest, widgets):
    made = rest.post(widgets.path, widgets.make("a", {"size": 3})).ok()
    for again in (
        rest.merge(widgets.at("a"), {"spec": {"size": 3}}).ok(),
        rest.put(widgets.at("a"), made).ok(),
        rest.patch(widgets.at("a"), [{"op": "replace", "path": "/spec/size", "value": 3}]).ok(),
    ):
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_status_is_written_only_through_its_subresource(rest, widgets):
    body = {**widgets.make("a", {"size": 2}), "status": {"phase": "Early"}}
    assert "status" not in rest.post(widgets.path, body).ok()
    assert "status" not in rest.merge(widgets.at("a"), {"status": {"phase": "Wrong"}}).ok()
    done = rest.merge(widgets.at("a", "status"), {"status": {"phase": "Right"}, "spec": {"size": 9}}).ok()
    assert (done["status"]["phase"], done["spec"]["size"], done["metadata"]["generation"]) == ("Right", 2, 1)
    assert rest.merge(widgets.at("a"), {"spec": {"size": 5}}).ok()["status"] == {"phase": "Right"}


def test_an_old_revision_is_refused(rest, widgets):
    made = rest.post(widgets.path, widgets.make("a", {"size": 1})).ok()
    rest.merge(widgets.at("a"), {"spec": {"size": 2}}).ok()
    assert "the object has been modified" in rest.put(widgets.at("a"), made).refused(409, "Conflict")
    old = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"size": 3}}
    rest.merge(widgets.at("a"), old).refused(409, "Conflict")


def test_a_put_of_a_custom_object_needs_a_revision(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {})).ok()
    assert "must be specified for an update" in rest.put(widgets.at("a"), widgets.make("a", {})).refused(422, "Invalid")


def test_a_failed_test_of_a_json_patch_is_422(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {"size": 1})).ok()
    steps = [{"op": "test", "path": "/spec/size", "value": 2}, {"op": "replace", "path": "/spec/size", "value": 3}]
    rest.patch(widgets.at("a"), steps).refused(422, "Invalid")
    assert rest.get(widgets.at("a")).ok()["spec"]["size"] == 1


def test_a_name_is_taken_once(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {})).ok()
    assert '"a" already exists' in rest.post(widgets.path, widgets.make("a", {})).refused(409, "AlreadyExists")
    rest.get(widgets.at("b")).refused(404, "NotFound")


def test_names_are_generated(rest, widgets):
    names = {rest.post(widgets.path, widgets.make(generateName="a-")).ok()["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5 and all(name.startswith("a-") and len(name) == 7 for name in names)


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "x" * 254])
def test_bad_names_are_refused(rest, widgets, name):
    assert "metadata.name" in rest.post(widgets.path, widgets.make(name, {})).refused(422, "Invalid")


def test_objects_need_an_existing_namespace(rest, widgets):
    path = widgets.path.replace("/namespaces/test-", "/namespaces/missing-")
    message = rest.post(path, widgets.make("a", {})).refused(404, "NotFound")
    assert "namespaces" in message


def test_dry_run_stores_nothing(rest, widgets):
    assert rest.post(widgets.path, widgets.make("a", {}), dryRun="All").ok()["spec"]["size"] == 1
    rest.get(widgets.at("a")).refused(404)
    rest.post(widgets.path, widgets.make("a", {})).ok()
    assert rest.merge(widgets.at("a"), {"spec": {"size": 9}}, dryRun="All").ok()["spec"]["size"] == 9
    rest.delete(widgets.at("a"), dryRun="All").ok()
    assert rest.get(widgets.at("a")).ok()["spec"]["size"] == 1


def test_unknown_fields_are_pruned_warned_about_or_refused(rest, widgets):
    body = widgets.make("a", {"size": 1, "sise": 2, "free": {"anything": [1]}})
    assert 'unknown field "spec.sise"' in rest.post(widgets.path, body, fieldValidation="Strict").refused(400)
    warned = rest.post(widgets.path, body, fieldValidation="Warn")
    assert 'unknown field \\"spec.sise\\"' in warned.headers["Warning"]
    assert warned.ok()["spec"] == {"size": 1, "free": {"anything": [1]}}
    ignored = rest.post(widgets.path, {**body, "metadata": {"name": "b"}}, fieldValidation="Ignore")
    assert "sise" not in ignored.ok()["spec"] and ignored.headers["Warning"] is None


def test_defaults_are_set_at_every_depth(rest, widgets):
    spec = rest.post(widgets.path, widgets.make("a", {"parts": [{"name": "x"}]})).ok()["spec"]
    assert spec == {"size": 1, "parts": [{"name": "x", "count": 1}]}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"size": "big"}, "spec.size"),
        ({"size": -1}, "spec.size"),
        ({"size": 1001, "color": "red"}, "spec.size"),
        ({"color": "pink"}, "spec.color"),
        ({"when": "yesterday"}, "spec.when"),
        ({"port": True}, "spec.port"),
        ({"tags": ["a", "a"]}, "spec.tags[1]"),
        ({"tags": [str(i) for i in range(11)]}, "spec.tags"),
        ({"tags": ["x" * 21]}, "spec.tags[0]"),
        ({"parts": [{"name": "x"}, {"name": "x"}]}, "spec.parts[1]"),
        ({"parts": [{"count": 1}]}, "spec.parts[0].name"),
        ({"size": 101}, "big widgets need a color"),
    ],
)
def test_bad_values_are_refused_with_their_field(rest, widgets, spec, field):
    answer = rest.post(widgets.path, widgets.make("a", spec))
    assert field in answer.refused(422, "Invalid")
    assert answer.body["details"]["causes"]


@pytest.mark.parametrize("port", [80, "http"])
def test_int_or_string_takes_both(rest, widgets, port):
    assert rest.post(widgets.path, widgets.make("a", {"port": port})).ok()["spec"]["port"] == port


def test_transition_rules_see_the_old_value(rest, widgets):
    rest.post(widgets.path, widgets.make("a", {"class": "fast"})).ok()
    assert "class is immutable" in rest.merge(widgets.at("a"), {"spec": {"class": "slow"}}).refused(422)
    rest.merge(widgets.at("a"), {"spec": {"size": 7}}).ok()


def test_transition_rules_follow_the_items_of_map_lists(rest, widgets):
    parts = [{"name": "x", "serial": "1"}, {"name": "y", "serial": "2"}]
    rest.post(widgets.path, widgets.make("a", {"parts": parts})).ok()
    rest.merge(widgets.at("a"), {"spec": {"parts": [parts[1], parts[0], {"name": "z", "serial": "3"}]}}).ok()
    swapped = [{"name": "x", "serial": "2"}, {"name": "y", "serial": "2"}]
    assert "serial is fixed" in rest.merge(widgets.at("a"), {"spec": {"parts": swapped}}).refused(422)


def test_the_type_in_the_body_must_fit_the_address(rest, widgets):
    rest.post(widgets.path, {**widgets.make("a", {}), "kind": "Gadget"}).refused(422, "Invalid")
    rest.post(widgets.path, {**widgets.make("a", {}), "apiVersion": "v1"}).refused(400, "BadRequest")


def test_formats_that_are_not_read_are_415(rest, widgets):
    answer = rest("POST", widgets.path, "x", "application/cbor")
    answer.refused(415, "UnsupportedMediaType")
    rest("PATCH", widgets.path + "/a", "{}", "application/strategic-merge-patch+json").refused(415)
