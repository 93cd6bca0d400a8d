# SPDX-License-Identifier: Apache-2.0
"""Validation of values against a structural schema.

On an update what has not changed is not judged again (ratcheting): a tightened schema lets old values live.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from accelchain_operators.localkube.errors import Cause, invalid_value, required_field
from accelchain_operators.localkube.objects import same
from accelchain_operators.localkube.schema.cel_engine import ABSENT, Scope
from accelchain_operators.localkube.schema.formats import check_format, parse_date_time, parse_duration
from accelchain_operators.localkube.schema.structural import MISSING, Schema

_MAX_CAUSES = 32


def validate(value: Any, schema: Schema, old: Any = MISSING, path: str = "") -> list[Cause]:
    """Return what is wrong with ``value``: types and limits first; CEL rules only where those hold."""
    causes: list[Cause] = []
    for cause in _values(value, schema, old, path):
        causes.append(cause)
        if len(causes) >= _MAX_CAUSES:
            return causes
    return causes or list(_rules(value, schema, old, path))[:_MAX_CAUSES]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _values(value: Any, schema: Schema, old: Any, path: str) -> Iterator[Cause]:
    if old is not MISSING and same(value, old):
        return
    if value is None:
        if not schema.nullable and not schema.open:
            yield invalid_value(path, "null", f'must be of type {schema.type or "integer or string"}: "null"')
        return
    wrong = _type_fault(value, schema)
    if wrong:
        shown = {"dict": "object", "list": "array", "str": "string", "bool": "boolean", "int": "integer"}
        name = shown.get(type(value).__name__, "number")
        yield Cause(
            path, f'Invalid value: "{name}": {path} in body must be of type {wrong}: "{name}"', "FieldValueTypeInvalid"
        )
        return
    yield from _limit_faults(value, schema, path)
    yield from _junctor_faults(value, schema, path)
    if isinstance(value, dict):
        for name in schema.required:
            if name not in value:
                yield required_field(_join(path, name))
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            part = schema.child(key)
            if part is not None:
                yield from _values(item, part, before.get(key, MISSING), _join(path, key))
    elif isinstance(value, list):
        yield from _list_faults(value, schema, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                before = _counterpart(item, schema, old)
                yield from _values(item, schema.items, before, f"{path}[{index}]")


def _type_fault(value: Any, schema: Schema) -> str | None:
    """Return the type that the value should have, None where it has it."""
    if schema.int_or_string:
        return (
            None
            if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
            else "integer or string"
        )
    match schema.type:
        case "object":
            good = isinstance(value, dict)
        case "array":
            good = isinstance(value, list)
        case "string":
            good = isinstance(value, str)
        case "boolean":
            good = isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            good = whole and not isinstance(value, bool)
        case "number":
            good = isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            good = True
    return None if good else schema.type


def _limit_faults(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    limits = schema.limits
    if "enum" in limits and not any(same(value, item) for item in limits["enum"]):
        supported = ", ".join(json.dumps(item) for item in limits["enum"])
        yield Cause(
            path, f"Unsupported value: {json.dumps(value)}: supported values: {supported}", "FieldValueNotSupported"
        )
    if "format" in limits and not check_format(limits["format"], value):
        yield invalid_value(path, value, f"{path} in body must be of type {limits['format']}: {json.dumps(value)}")
    if isinstance(value, str):
        if "maxLength" in limits and len(value) > limits["maxLength"]:
            yield Cause(path, f"Too long: may not be more than {limits['maxLength']} bytes", "FieldValueTooLong")
        if "minLength" in limits and len(value) < limits["minLength"]:
            yield invalid_value(path, value, f"{path} in body should be at least {limits['minLength']} chars long")
        if schema.pattern is not None and not schema.pattern.search(value):
            yield invalid_value(path, value, f"{path} in body should match '{schema.pattern.pattern}'")
    elif isinstance(value, dict):
        yield from _size_faults(len(value), limits, path, ("minProperties", "maxProperties", "properties"))
    elif isinstance(value, list):
        yield from _size_faults(len(value), limits, path, ("minItems", "maxItems", "items"))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, limits, path)


def _size_faults(size: int, limits: dict[str, Any], path: str, names: tuple[str, str, str]) -> Iterator[Cause]:
    low, high, what = names
    if high in limits and size > limits[high]:
        yield Cause(path, f"Too many: {size}: must have at most {limits[high]} {what}", "FieldValueTooMany")
    if low in limits and size < limits[low]:
        yield invalid_value(path, size, f"{path} in body should have at least {limits[low]} {what}")


def _number_faults(value: float, limits: dict[str, Any], path: str) -> Iterator[Cause]:
    low, high, step = limits.get("minimum"), limits.get("maximum"), limits.get("multipleOf")
    if low is not None and (value < low or (limits.get("exclusiveMinimum") and value == low)):
        relation = "greater than" if limits.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid_value(path, value, f"{path} in body should be {relation} {low}")
    if high is not None and (value > high or (limits.get("exclusiveMaximum") and value == high)):
        relation = "less than" if limits.get("exclusiveMaximum") else "less than or equal to"
        yield invalid_value(path, value, f"{path} in body should be {relation} {high}")
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield invalid_value(path, value, f"{path} in body should be a multiple of {step}")


def _junctor_faults(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    for name, parts in schema.junctors.items():
        failures = [list(_values(value, part, MISSING, path)) for part in parts]
        passed = sum(not failure for failure in failures)
        if name == "allOf":
            for failure in failures:
                yield from failure
        elif name == "anyOf" and not passed:
            yield invalid_value(path, _brief(value), f"{path} in body must validate at least one schema (anyOf)")
        elif name == "oneOf" and passed != 1:
            found = "none" if not passed else f"{passed} valid alternatives"
            yield invalid_value(
                path, _brief(value), f"{path} in body must validate one and only one schema (oneOf). Found {found}"
            )
        elif name == "not" and passed:
            yield invalid_value(path, _brief(value), f"{path} in body must not validate the schema (not)")


def _brief(value: Any) -> Any:
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else value


def item_key(item: Any, schema: Schema) -> tuple[Any, ...] | None:
    """Return the values of a map list's keys (defaults filled in), None where one lacks."""
    if not isinstance(item, dict):
        return None
    found: list[Any] = []
    for key in schema.list_keys:
        value = item.get(key, MISSING)
        if value is MISSING and schema.items is not None and key in schema.items.properties:
            value = schema.items.properties[key].default
        if value is MISSING:
            return None
        found.append(value)
    return tuple(found)


def _list_faults(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    if schema.list_type == "atomic" and not schema.limits.get("uniqueItems"):
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        key: Any = item_key(item, schema) if schema.list_type == "map" else item
        if key is None:
            continue  # a missing key is reported by `required`
        text = json.dumps(key, sort_keys=True)
        if text in seen:
            shown = json.dumps(dict(zip(schema.list_keys, key, strict=True)) if schema.list_type == "map" else item)
            yield Cause(f"{path}[{index}]", f"Duplicate value: {shown}", "FieldValueDuplicate")
        seen.add(text)


def _counterpart(item: Any, schema: Schema, old: Any) -> Any:
    """Return the old value of a list's item: only the items of map lists have an identity."""
    if schema.list_type != "map" or not isinstance(old, list):
        return MISSING
    key = item_key(item, schema)
    return next((other for other in old if key is not None and item_key(other, schema) == key), MISSING)


def _rules(value: Any, schema: Schema, old: Any, path: str) -> Iterator[Cause]:
    unchanged = old is not MISSING and same(value, old)
    if value is None or (unchanged and not schema.has_transitions):
        return
    if schema.rules:
        is_object = not path or schema.embedded
        before = ABSENT if old is MISSING or old is None else to_cel(old, schema, is_object=is_object)
        scope = Scope(to_cel(value, schema, is_object=is_object), before)
        for rule in schema.rules:
            if (rule.transition or not unchanged) and (cause := rule.check(path, scope)):
                yield cause
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            part = schema.child(key)
            if part is not None:
                yield from _rules(item, part, before.get(key, MISSING), _join(path, key))
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield from _rules(item, schema.items, _counterpart(item, schema, old), f"{path}[{index}]")


def to_cel(value: Any, schema: Schema, *, is_object: bool = False) -> Any:
    """Return a value as CEL rules see it: escaped property names; dates, durations and bytes as such.

    Of a whole object's metadata (``is_object``) rules see the name only, as in Kubernetes.
    """
    if is_object and isinstance(value, dict) and isinstance(meta := value.get("metadata"), dict):
        names = {key: meta[key] for key in ("name", "generateName") if key in meta}
        value = {**value, "metadata": names}
    if not schema.cel_converts:
        return value
    if isinstance(value, dict):
        converted = {}
        for key, item in value.items():
            part = schema.child(key)
            converted[schema.cel_names.get(key, key)] = item if part is None else to_cel(item, part)
        return converted
    if isinstance(value, list) and schema.items is not None:
        return [to_cel(item, schema.items) for item in value]
    if isinstance(value, str):
        match schema.limits.get("format"):
            case "date-time":
                return parse_date_time(value)
            case "date":
                return parse_date_time(value + "T00:00:00Z")
            case "duration":
                return parse_duration(value)
            case "byte":
                return base64.b64decode(value)
    return value
