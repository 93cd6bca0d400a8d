# SPDX-License-Identifier: Apache-2.0
"""The rules of Kubernetes' API server for schemas, held against every generated CRD."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from accelchain.api.schema import structural

Schema = dict[str, Any]

KEYS = {
    "description", "type", "format", "default", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "minItems", "maxItems", "minProperties", "maxProperties", "properties", "required", "items",
    "additionalProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
    "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every node of a schema below the root, metadata left out (the API server has its own)."""
    for name, child in schema.get("properties", {}).items():
        if path or name != "metadata":
            yield f"{path}.{name}", child
            yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield f"{path}[]", schema[key]
            yield from nodes(schema[key], f"{path}[]")


def fits(value: Any, schema: Schema) -> bool:
    """Tell whether a default has its schema's type and names no field that would be pruned."""
    if not isinstance(value, TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return all(k in known and fits(v, known[k]) for k, v in value.items())
    if isinstance(value, list):
        return len(value) <= schema["maxItems"] and all(fits(v, schema["items"]) for v in value)
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    return "enum" not in schema or value in schema["enum"]


OPEN_OBJECTS = (".status.plan",)
"""Objects of a form of their own, which only the operators write."""


def test_every_node_has_one_type_and_only_what_a_structural_schema_may_hold(schema: Schema) -> None:
    for path, node in nodes(schema):
        assert node.keys() <= KEYS, path
        untyped = node.get("x-kubernetes-int-or-string") or (
            node.get("x-kubernetes-preserve-unknown-fields") and path not in OPEN_OBJECTS
        )
        assert ("type" in node) != bool(untyped), path
        assert node.get("type", "string") in TYPES, path


def test_every_node_is_described(schema: Schema) -> None:
    missing = [path for path, node in nodes(schema) if not path.endswith("[]") and not node.get("description")]
    assert not missing


def test_everything_is_bounded_so_that_the_cost_of_cel_rules_is(schema: Schema) -> None:
    for path, node in nodes(schema):
        if path in (".apiVersion", ".kind"):
            continue
        match node.get("type"):
            case "array":
                assert node["maxItems"] <= 1024, path
            case "string":
                assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", path
            case "object":
                assert ("additionalProperties" in node) == ("maxProperties" in node), path
                known = ("properties" in node) != ("additionalProperties" in node)
                assert known != (path in OPEN_OBJECTS), path


def test_defaults_are_valid_and_only_in_the_spec(schema: Schema) -> None:
    found = {path: node for path, node in nodes(schema) if "default" in node}
    assert all(path.startswith(".spec") for path in found)
    assert all(fits(node["default"], node) for node in found.values()), found


def test_required_fields_exist_and_have_no_default(schema: Schema) -> None:
    for path, node in [("", schema), *nodes(schema)]:
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"


def test_lists_of_objects_are_maps_with_keys_that_are_always_there(schema: Schema) -> None:
    for path, node in nodes(schema):
        if node.get("type") != "array":
            continue
        kind, items = node["x-kubernetes-list-type"], node["items"]
        if kind == "map":
            for key in node["x-kubernetes-list-map-keys"]:
                assert key in items["required"] or "default" in items["properties"][key], f"{path}.{key}"
                assert items["properties"][key]["type"] in ("string", "integer", "number", "boolean"), path
        elif kind == "set":
            assert items.get("type") in ("string", "integer", "number", "boolean"), path
        else:
            assert kind == "atomic", path


def fields_of(schema: Schema, path: list[str]) -> Schema:
    for name in path:
        schema = schema["properties"][name]
    return schema


def test_rules_have_messages_and_point_to_fields(schema: Schema) -> None:
    for path, node in [("", schema), *nodes(schema)]:
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"] and "\n" not in rule["message"], path
            fields_of(node, rule.get("fieldPath", "").split(".")[1:])  # KeyError: no such field


def test_rules_read_only_fields_that_cel_can_see(schema: Schema) -> None:
    """CEL has no type for values of any scalar type, nor for what holds them."""

    def visible(node: Schema) -> bool:
        if node.get("x-kubernetes-preserve-unknown-fields"):
            return False
        return visible(node["additionalProperties"]) if "additionalProperties" in node else True

    for path, node in [("", schema), *nodes(schema)]:
        for rule in node.get("x-kubernetes-validations", ()):
            for chain in re.findall(r"\b(?:self|oldSelf)((?:\.[A-Za-z0-9]+)+)(?![A-Za-z0-9(])", rule["rule"]):
                current = node
                for name in chain.split(".")[1:]:
                    if name in ("all", "exists", "exists_one", "startsWith") or "properties" not in current:
                        break
                    if path == "" and name == "metadata":
                        break
                    current = current["properties"][name]
                    assert visible(current), f"{path}: {rule['rule']}"


@pytest.mark.parametrize(
    "bad",
    [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        {"type": "array", "prefixItems": []},
    ],
)
def test_what_no_structural_schema_can_say_is_refused(bad: Schema) -> None:
    with pytest.raises(ValueError, match="no structural schema"):
        structural(bad, {})


def test_a_reference_is_resolved_and_what_stands_beside_it_goes_first() -> None:
    pointed = {"type": "string", "description": "of the class", "maxLength": 3}
    found = structural({"$ref": "#/$defs/A", "description": "of the field"}, {"A": pointed})
    assert found == {"description": "of the field", "type": "string", "maxLength": 3}


def test_null_and_numeric_exclusive_bounds_become_openapi_3_0() -> None:
    found = structural({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None}, {})
    assert found == {"type": "number", "minimum": 0, "exclusiveMinimum": True}
