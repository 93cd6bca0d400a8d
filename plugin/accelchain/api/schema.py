# SPDX-License-Identifier: Apache-2.0
"""From a model's JSON schema to the structural schema that a CustomResourceDefinition may hold.

Structural means: a type at every node, no ``$ref``, no union, no null. See
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JsonSchema = dict[str, Any]

_KEPT = (
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
_DROPPED = frozenset({"title", "propertyNames"})
_HANDLED = frozenset(
    {"description", "default", "const", "exclusiveMinimum", "properties", "required", "items", "additionalProperties"}
)


def structural(schema: JsonSchema, definitions: Mapping[str, JsonSchema], *, defaults: bool = True) -> JsonSchema:
    """Return ``schema`` as a structural schema.

    Args:
        schema: a JSON schema as pydantic makes it (draft 2020-12).
        definitions: what ``$ref`` points to, by name.
        defaults: keep defaults that say something. A status has none: what nobody observed is absent.

    Raises:
        ValueError: the schema holds something that no structural schema can express.
    """
    schema = _flat(schema, definitions)
    unknown = {k for k in schema if k not in _KEPT and k not in _HANDLED and k not in _DROPPED and k[:2] != "x-"}
    if unknown:
        raise ValueError(f"no structural schema for {sorted(unknown)} in {schema}")
    result: JsonSchema = {}
    if "description" in schema:
        result["description"] = " ".join(schema["description"].split())
    if schema.get("x-kubernetes-preserve-unknown-fields") and schema.get("type") is None:
        pass  # a value of any scalar type: the one node that has no type
    elif not schema.get("x-kubernetes-int-or-string"):
        result["type"] = schema.get("type", "string")
    if schema.get("type") == "integer":
        result["format"] = "int64"
    if defaults and schema.get("default") not in (None, "", [], {}):
        result["default"] = schema["default"]
    result |= {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "exclusiveMinimum" in schema:  # OpenAPI 3.0 spells it as a flag
        result |= {"minimum": schema["exclusiveMinimum"], "exclusiveMinimum": True}
    result |= _children(schema, definitions, defaults)
    result |= {key: value for key, value in schema.items() if key.startswith("x-")}
    return result


def _flat(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Resolve references and ``… | None``; what stands beside them goes before what they point to."""
    while True:
        rest = dict(schema)
        if "$ref" in rest:
            target = definitions[rest.pop("$ref").rpartition("/")[2]]
        elif "anyOf" in rest:
            options = [option for option in rest.pop("anyOf") if option.get("type") != "null"]
            if len(options) != 1:
                raise ValueError(f"no structural schema for a union: {schema}")
            target = options[0]
        else:
            return rest
        schema = target | rest


def _children(schema: JsonSchema, definitions: Mapping[str, JsonSchema], defaults: bool) -> JsonSchema:
    """Return the keys that hold schemas of properties, items and values."""
    result: JsonSchema = {}
    if "properties" in schema:
        result["properties"] = {
            name: structural(child, definitions, defaults=defaults) for name, child in schema["properties"].items()
        }
        if schema.get("required"):
            result["required"] = schema["required"]
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions, defaults=defaults)
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions, defaults=defaults)
    return result
