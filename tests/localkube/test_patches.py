# SPDX-License-Identifier: Apache-2.0
"""JSON patch, merge patch and strategic merge, against their definitions."""

from __future__ import annotations

import copy

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain_operators.localkube.apply.json_patch import PatchError, json_patch, merge_patch
from accelchain_operators.localkube.apply.strategic import strategic_merge
from accelchain_operators.localkube.resources.builtin_schemas import POD, whole
from accelchain_operators.localkube.schema.structural import compile_schema

keys = st.sampled_from(["a", "b", "c/d", "e~f", ""])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(keys, values, max_size=4)


# The pairs of RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_as_in_rfc_7386(target, patch, result):
    assert merge_patch(target, patch) == result


@given(objects, objects)
def test_merge_patch_is_idempotent_and_leaves_its_input_alone(target, patch):
    before = copy.deepcopy(target)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert target == before


@given(objects, objects)
@settings(max_examples=150)
def test_a_json_patch_turns_one_object_into_another(old, new):
    # the patch is made by another implementation
    assert json_patch(old, jsonpatch.make_patch(old, new).patch) == new


@pytest.mark.parametrize(
    ("operation", "test_failed"),
    [
        ({"op": "test", "path": "/a", "value": 2}, True),
        ({"op": "test", "path": "/a", "value": True}, True),
        ({"op": "replace", "path": "/missing", "value": 1}, False),
        ({"op": "remove", "path": "/missing"}, False),
        ({"op": "add", "path": "/list/9", "value": 1}, False),
        ({"op": "add", "path": "/a/b", "value": 1}, False),
        ({"op": "add", "path": "/a"}, False),
        ({"op": "move", "from": "/map", "path": "/map/x"}, False),
        ({"op": "dance", "path": "/a"}, False),
        ({"op": "add", "path": "a", "value": 1}, False),
    ],
)
def test_json_patches_that_do_not_fit(operation, test_failed):
    with pytest.raises(PatchError) as caught:
        json_patch({"a": 1, "list": [1], "map": {"x": {}}}, [operation])
    assert caught.value.test_failed is test_failed


def test_json_patches_are_whole_or_nothing():
    document = {"a": 1}
    with pytest.raises(PatchError):
        json_patch(document, [{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}])
    assert document == {"a": 1}


SCHEMA = compile_schema(whole(POD, "pod"))


def test_strategic_merge_by_key_with_order_and_removal():
    live = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}}
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
            "containers": [{"name": "c", "image": "3"}, {"name": "a", "$patch": "delete"}, {"name": "b", "tty": True}],
        }
    }
    merged = strategic_merge(live, patch, SCHEMA)["spec"]["containers"]
    assert merged == [{"name": "c", "image": "3"}, {"name": "b", "image": "2", "tty": True}]


def test_strategic_merge_replaces_where_it_is_told():
    live = {"spec": {"nodeSelector": {"a": "1"}, "tolerations": [{"key": "x"}]}}
    patch = {"spec": {"nodeSelector": {"$patch": "replace", "b": "2"}, "tolerations": [{"key": "y"}]}}
    merged = strategic_merge(live, patch, SCHEMA)
    assert merged == {"spec": {"nodeSelector": {"b": "2"}, "tolerations": [{"key": "y"}]}}
    with pytest.raises(PatchError):
        strategic_merge(live, {"spec": {"$patch": "dance"}}, SCHEMA)
