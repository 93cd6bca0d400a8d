# SPDX-License-Identifier: Apache-2.0
"""Lists, selectors, pages and watches."""

from __future__ import annotations

import pytest


def names(answer):
    return [item["metadata"]["name"] for item in answer.ok()["items"]]


def types(events):
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


@pytest.fixture
def three(rest, widgets):
    for name, tier, node in (("a", "front", "n1"), ("b", "back", "n2"), ("c", "", "n1")):
        labels = {"tier": tier, "level": str(ord(name))} if tier else {}
        rest.post(widgets.path, widgets.make(name, {"node": node}, labels=labels)).ok()
    return widgets


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=front", "a"),
        ("tier==front", "a"),
        ("tier!=front", "bc"),
        ("tier", "ab"),
        ("!tier", "c"),
        ("tier in (front, back)", "ab"),
        ("tier notin (front)", "bc"),
        ("tier,tier!=back", "a"),
    ],
)
def test_label_selectors(rest, three, selector, found):
    assert names(rest.get(three.path, labelSelector=selector)) == list(found)


@pytest.mark.parametrize(
    ("selector", "found"),
    [("metadata.name=b", "b"), ("spec.node=n1", "ac"), ("spec.node!=n1", "b"), ("spec.node=n1,metadata.name!=a", "c")],
)
def test_field_selectors(rest, three, selector, found):
    assert names(rest.get(three.path, fieldSelector=selector)) == list(found)


def test_selectors_that_are_not_understood_are_refused(rest, three):
    assert "spec.size" in rest.get(three.path, fieldSelector="spec.size=1").refused(400)
    rest.get(three.path, labelSelector="a=(").refused(400)


def test_pages_hold_every_object_once(rest, three):
    seen, token, revisions = [], "", set()
    while True:
        page = rest.get(three.path, limit=2, **({"continue": token} if token else {}))
        seen += names(page)
        revisions.add(page.body["metadata"]["resourceVersion"])
        token = page.body["metadata"].get("continue", "")
        if not token:
            break
        assert page.body["metadata"]["remainingItemCount"] == 1
    assert seen == ["a", "b", "c"] and len(revisions) == 1


def test_a_bad_continue_token_is_refused(rest, three):
    rest.get(three.path, limit=1, **{"continue": "nonsense"}).refused(400)


def test_a_watch_begins_where_the_list_ended(rest, three):
    revision = rest.get(three.path).ok()["metadata"]["resourceVersion"]
    rest.merge(three.at("a"), {"spec": {"size": 5}}).ok()
    rest.post(three.path, three.make("d", {})).ok()
    rest.delete(three.at("b")).ok()
    events = rest.watch(three.path, lambda e: len(e) == 3, resourceVersion=revision)
    assert types(events) == [("MODIFIED", "a"), ("ADDED", "d"), ("DELETED", "b")]
    revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert revisions == sorted(revisions) and revisions[0] > int(revision)


def test_a_watch_without_revision_begins_with_the_objects(rest, three):
    events = rest.watch(three.path, lambda e: len(e) == 3)
    assert types(events) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


def test_initial_events_end_with_a_bookmark(rest, three):
    events = rest.watch(
        three.path, lambda e: e[-1]["type"] == "BOOKMARK",
        sendInitialEvents=True, resourceVersionMatch="NotOlderThan", allowWatchBookmarks=True,
    )  # fmt: skip
    assert [event["type"] for event in events] == ["ADDED"] * 3 + ["BOOKMARK"]
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    rest.get(three.path, watch=True, sendInitialEvents=True).refused(422)


def test_objects_come_into_a_selection_and_leave_it(rest, three):
    revision = rest.get(three.path).ok()["metadata"]["resourceVersion"]
    rest.merge(three.at("c"), {"metadata": {"labels": {"tier": "front"}}}).ok()
    rest.merge(three.at("a"), {"metadata": {"labels": {"tier": "back"}}}).ok()
    rest.merge(three.at("b"), {"spec": {"size": 3}}).ok()
    rest.delete(three.at("c")).ok()
    query = {"resourceVersion": revision, "labelSelector": "tier=front"}
    events = rest.watch(three.path, lambda e: len(e) == 3, **query)
    assert types(events) == [("ADDED", "c"), ("DELETED", "a"), ("DELETED", "c")]


def test_a_watch_ends_at_its_time(rest, three):
    with rest.open("GET", three.path, watch=True, timeoutSeconds=1, resourceVersion="") as response:
        assert sum(1 for _ in response) == 3


def test_a_revision_that_is_too_old_is_410(rest, three):
    events = rest.watch(three.path, lambda e: True, resourceVersion="1")
    assert events[0]["type"] == "ERROR"
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")


def test_tables(rest, three):
    rest.merge(three.at("a", "status"), {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}).ok()
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = rest.get(three.path, headers=accept).ok()
    assert table["kind"] == "Table"
    names = [c["name"] for c in table["columnDefinitions"]]
    assert names == ["Name", "Size", "Ready", "Node", "Parts", "Counts", "Tags", "Free", "Age"]
    rows = [row["cells"][:4] for row in table["rows"]]
    assert rows == [["a", 1, "True", "n1"], ["b", 1, None, "n2"], ["c", 1, None, "n1"]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_metadata_only(rest, three):
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    found = rest.get(three.path, headers=accept).ok()
    assert found["kind"] == "PartialObjectMetadataList" and "spec" not in found["items"][0]


def test_all_namespaces(rest, three):
    found = rest.get("/apis/conformance.accelchain.test/v1/widgets").ok()["items"]
    assert {item["metadata"]["name"] for item in found} >= {"a", "b", "c"}


def test_delete_collection_by_label(rest, three):
    rest.delete(three.path, labelSelector="tier").ok()
    assert names(rest.get(three.path)) == ["c"]
