# SPDX-License-Identifier: Apache-2.0
"""What must hold for server-side apply, whatever is applied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accelchain_operators.localkube.apply.field_set import field_set, from_fields_v1, owned, to_fields_v1
from accelchain_operators.localkube.apply.server_side import Manager, apply, read_entries, track
from accelchain_operators.localkube.errors import StatusError
from accelchain_operators.localkube.schema.structural import compile_schema

SCHEMA = compile_schema(
    {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "x-kubernetes-preserve-unknown-fields": True,
            },
            "spec": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "integer"},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "atomic": {"type": "array", "items": {"type": "integer"}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "x": {"type": "integer"},
                                "y": {"type": "integer"},
                            },
                        },
                    },
                },
            },
        },
    }
)  # fmt: skip

small = st.integers(0, 2)
names = st.sampled_from(["p", "q", "r"])
part = st.fixed_dictionaries({"name": names}, optional={"x": small, "y": small})
specs = st.fixed_dictionaries(
    {},
    optional={
        "a": small,
        "b": small,
        "free": st.dictionaries(
            names, st.recursive(small, lambda i: st.dictionaries(names, i, max_size=2), max_leaves=4), max_size=3
        ),
        "atomic": st.lists(small, max_size=2),
        "tags": st.lists(names, unique=True, max_size=3),
        "parts": st.lists(part, unique_by=lambda p: p["name"], max_size=3),
    },
)  # fmt: skip
configs = st.builds(
    lambda spec, labels: {"apiVersion": "t/v1", "kind": "T", "metadata": {"name": "n", "labels": labels}, "spec": spec},
    specs,
    st.dictionaries(names, st.sampled_from(["1", "2"]), max_size=2),
)


def send(live, config, manager, *, force=False, now="t"):
    return apply(live, config, SCHEMA, Manager(manager, "Apply", "t/v1"), force=force, now=now)


def fields_of(obj, manager):
    return next((entry.fields for entry in read_entries(obj) if entry.manager.name == manager), frozenset())


def wanted(config):
    return owned(field_set(config, SCHEMA))


def contains(value, config):
    """Whether everything that a configuration says is so."""
    if isinstance(config, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], item) for key, item in config.items()
        )
    if isinstance(config, list) and config and isinstance(config[0], dict):
        return all(any(contains(item, wish) for item in value) for wish in config)
    if isinstance(config, list):
        return all(item in value for item in config)
    return value == config


@given(configs, configs)
def test_apply_is_idempotent(first, second):
    live = send(send(None, first, "one"), second, "two", force=True)
    once = send(live, first, "one", force=True)
    assert send(once, first, "one", force=True, now="later") == once


@given(configs, configs)
def test_what_was_applied_is_so_and_owned(first, second):
    live = send(send(None, first, "one"), second, "two", force=True)
    assert contains(live["spec"], second["spec"])
    assert fields_of(live, "two") == wanted(second)


@given(configs, configs)
def test_a_manager_alone_gets_exactly_what_it_sends(first, second):
    live = send(send(None, first, "one"), second, "one")
    assert fields_of(live, "one") == wanted(second)
    left = {path for path in wanted(live) if len(path) > 1 and path[1] != "f:managedFields"}
    assert left == {path for path in wanted(second) if len(path) > 1}


@given(configs, configs)
def test_without_force_nobody_loses_a_field(first, second):
    live = send(None, first, "one")
    try:
        after = send(live, second, "two")
    except StatusError as error:
        assert error.code == 409 and '"one"' in error.message
        return
    assert fields_of(after, "one") == fields_of(live, "one")
    assert contains(after["spec"], first["spec"])


@given(configs, configs)
def test_giving_up_leaves_the_other_managers_fields(first, second):
    live = send(send(None, first, "one"), second, "two", force=True)
    alone = send(live, {**first, "metadata": {"name": "n"}, "spec": {}}, "one")
    assert contains(alone["spec"], second["spec"])
    assert fields_of(alone, "two") == wanted(second)


@given(configs, configs, configs)
def test_no_two_managers_differ_about_a_field(first, second, third):
    live = None
    for manager, config in (("one", first), ("two", second), ("three", third)):
        live = send(live, config, manager, force=True)
    for manager, config in (("one", first), ("two", second), ("three", third)):
        kept = fields_of(live, manager)
        # sending again only what is still owned changes nothing, so it needs no force
        assert kept <= wanted(config)


@given(configs)
def test_fields_survive_their_encoding(config):
    paths = wanted(config)
    assert from_fields_v1(to_fields_v1(paths)) == paths


@given(configs, configs)
def test_an_update_owns_what_it_changed(first, second):
    live = send(None, first, "one")
    new = {**second, "metadata": {**second["metadata"]}}
    track(live, new, SCHEMA, Manager("editor", "Update", "t/v1"), now="t")
    changed = fields_of(new, "editor")
    assert not changed & fields_of(new, "one")
    if contains(live["spec"], second["spec"]) and contains(second["spec"], live["spec"]):
        assert not {path for path in changed if path[0] == "f:spec"}
