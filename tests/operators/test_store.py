# SPDX-License-Identifier: Apache-2.0
"""The store never keeps what was deleted, and never goes back in time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accelchain_operators.kube.client import JsonObject
from accelchain_operators.kube.kinds import DATA_FLOW, WB_FUNCTION
from accelchain_operators.kube.store import Store


def obj(name: str, version: int, uid: str = "", owner: str = "", **fields: Any) -> JsonObject:
    meta: JsonObject = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "kind": "DataFlow", "name": owner, "controller": True}]
    return {"metadata": meta, **fields}


class Heard:
    def __init__(self) -> None:
        self.changes: list[tuple[str, int | None, int | None]] = []
        self.store = Store(self._note)

    def _note(self, _type: Any, before: JsonObject | None, after: JsonObject | None) -> None:
        def version(o: JsonObject | None) -> int | None:
            return int(o["metadata"]["resourceVersion"]) if o else None

        some = after or before
        assert some is not None
        self.changes.append((some["metadata"]["name"], version(before), version(after)))


def names(store: Store) -> list[str]:
    return [o["metadata"]["name"] for o in store.all(DATA_FLOW)]


def test_what_was_deleted_while_the_watch_was_lost_is_told_as_deleted() -> None:
    heard = Heard()
    for name in "abc":
        heard.store.put(DATA_FLOW, obj(name, 1))
    heard.store.replace(DATA_FLOW, [obj("a", 1), obj("c", 7), obj("d", 8)], "9")
    assert names(heard.store) == ["a", "c", "d"]
    assert heard.changes[3:] == [("b", 1, None), ("c", 1, 7), ("d", None, 8)]


def test_an_object_that_is_newer_than_the_list_survives_it() -> None:
    heard = Heard()
    heard.store.put(DATA_FLOW, obj("young", 12))
    heard.store.replace(DATA_FLOW, [], "11")
    assert names(heard.store) == ["young"]


def test_an_object_created_anew_under_its_name_is_a_deletion_and_a_creation() -> None:
    heard = Heard()
    heard.store.put(DATA_FLOW, obj("a", 1, uid="old"))
    heard.store.replace(DATA_FLOW, [obj("a", 5, uid="new")], "6")
    assert heard.changes[1:] == [("a", 1, None), ("a", None, 5)]


def test_late_news_of_an_older_version_is_dropped() -> None:
    heard = Heard()
    heard.store.put(DATA_FLOW, obj("a", 5))
    heard.store.put(DATA_FLOW, obj("a", 4))
    heard.store.put(DATA_FLOW, obj("a", 5))
    assert heard.changes == [("a", None, 5)]


def test_an_answer_that_arrives_after_the_deletion_does_not_bring_a_ghost_back() -> None:
    heard = Heard()
    heard.store.put(DATA_FLOW, obj("a", 5))
    heard.store.remove(DATA_FLOW, obj("a", 7))
    heard.store.put(DATA_FLOW, obj("a", 6))
    assert names(heard.store) == []


def test_the_deletion_of_the_former_bearer_of_a_name_leaves_the_new_one_alone() -> None:
    heard = Heard()
    heard.store.put(DATA_FLOW, obj("a", 9, uid="new"))
    heard.store.remove(DATA_FLOW, obj("a", 8, uid="old"))
    assert names(heard.store) == ["a"]


def test_children_are_found_by_the_uid_of_their_owner() -> None:
    store = Heard().store
    store.put(WB_FUNCTION, obj("x", 1, owner="flow-1"))
    store.put(WB_FUNCTION, obj("y", 2, owner="flow-2"))
    store.put(WB_FUNCTION, obj("z", 3, owner="flow-1"))
    assert [o["metadata"]["name"] for o in store.owned(WB_FUNCTION, "flow-1")] == ["x", "z"]
    store.put(WB_FUNCTION, obj("x", 4, owner="flow-2"))
    assert [o["metadata"]["name"] for o in store.owned(WB_FUNCTION, "flow-1")] == ["z"]
    store.remove(WB_FUNCTION, obj("z", 5, owner="flow-1"))
    assert store.owned(WB_FUNCTION, "flow-1") == ()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete"])), max_size=20), st.data())
def test_events_in_any_order_and_a_list_end_in_the_truth(steps: list[tuple[str, str]], data: st.DataObject) -> None:
    truth: dict[str, JsonObject] = {}
    events: list[tuple[str, JsonObject]] = []
    for version, (name, step) in enumerate(steps, 1):
        if step == "put":
            uid = truth[name]["metadata"]["uid"] if name in truth else f"{name}{version}"
            truth[name] = obj(name, version, uid=uid)
            events.append(("put", truth[name]))
        elif name in truth:
            events.append(("delete", obj(name, version, uid=truth.pop(name)["metadata"]["uid"])))
    heard = Heard()
    lost = data.draw(st.sets(st.integers(0, max(0, len(events) - 1))))
    order = data.draw(st.permutations([e for i, e in enumerate(events) if i not in lost]))
    for step, some in order:
        (heard.store.put if step == "put" else heard.store.remove)(DATA_FLOW, some)
    heard.store.replace(DATA_FLOW, truth.values(), str(len(steps)))
    assert {o["metadata"]["name"]: o for o in heard.store.all(DATA_FLOW)} == truth
