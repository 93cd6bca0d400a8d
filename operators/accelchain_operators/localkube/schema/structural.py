# SPDX-License-Identifier: Apache-2.0
"""A structural schema, compiled once: what pruning, defaulting, validation and server-side apply walk along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.schema.cel_engine import CelError
from accelchain_operators.localkube.schema.cel_rules import Rule

MISSING: Any = object()
_TYPES = {"", "object", "array", "string", "integer", "number", "boolean"}


class SchemaError(ValueError):
    """The schema itself is wrong; ``path`` is where (``spec.versions[0].schema...``)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


@dataclass(slots=True)
class Schema:
    """One node of a schema. ``additional`` is the schema of a map's values; its absence closes the object."""

    type: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    additional: Schema | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    default: Any = MISSING
    nullable: bool = False
    preserve_unknown: bool = False
    int_or_string: bool = False
    embedded: bool = False
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    pattern: re.Pattern[str] | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    """``enum``, ``format``, ``minimum``, ``maxLength`` and the like, by their names."""
    junctors: dict[str, tuple[Schema, ...]] = field(default_factory=dict)
    """``allOf``, ``anyOf``, ``oneOf``, ``not``: value validation only, they add no structure."""
    rules: tuple[Rule, ...] = ()
    has_defaults: bool = False
    """Here or below."""
    has_transitions: bool = False
    """Here or below: a rule that looks at the old value, so that an unchanged value must be visited too."""
    cel_names: dict[str, str] = field(default_factory=dict)
    """Properties whose CEL name differs from their name."""
    cel_converts: bool = False
    """Here or below: a value that CEL sees differently (escaped names, dates, durations)."""

    def child(self, key: str) -> Schema | None:
        """Return the schema of a field or map value, None where it is unknown."""
        return self.properties.get(key) or self.additional

    @property
    def open(self) -> bool:
        """Whether fields without a schema are kept."""
        return self.preserve_unknown or (not self.type and not self.properties and self.additional is None)


_LIMITS = (
    "enum", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
_RESERVED = {
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
}  # fmt: skip


def compile_schema(raw: JsonObject, path: str = "openAPIV3Schema", *, structural: bool = True) -> Schema:
    """Compile a schema and its CEL rules. Raises SchemaError with the path of the fault."""
    if not isinstance(raw, dict):
        raise SchemaError(path, "must be an object")
    kind = raw.get("type", "")
    if kind not in _TYPES:
        raise SchemaError(f"{path}.type", f'Unsupported value: "{kind}"')
    node = Schema(
        type=kind,
        required=tuple(raw.get("required") or ()),
        default=raw.get("default", MISSING),
        nullable=bool(raw.get("nullable")),
        preserve_unknown=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        list_type=raw.get("x-kubernetes-list-type", "atomic"),
        list_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        atomic_map=raw.get("x-kubernetes-map-type") == "atomic",
        limits={name: raw[name] for name in _LIMITS if name in raw},
    )
    if structural and not kind and not node.int_or_string and not node.preserve_unknown:
        raise SchemaError(f"{path}.type", "Required value: must not be empty for specified object fields")
    _children(node, raw, path, structural=structural)
    _check_list(node, path)
    if "pattern" in raw:
        node.pattern = _compile_pattern(raw["pattern"], f"{path}.pattern")
    for name in ("allOf", "anyOf", "oneOf"):
        if name in raw:
            node.junctors[name] = tuple(
                compile_schema(part, f"{path}.{name}[{i}]", structural=False) for i, part in enumerate(raw[name])
            )
    if "not" in raw:
        node.junctors["not"] = (compile_schema(raw["not"], f"{path}.not", structural=False),)
    node.rules = tuple(_rules(raw, path))
    _summarise(node)
    return node


def _children(node: Schema, raw: JsonObject, path: str, *, structural: bool) -> None:
    for name, part in (raw.get("properties") or {}).items():
        node.properties[name] = compile_schema(part, f"{path}.properties[{name}]", structural=structural)
        if (escaped := cel_name(name)) != name:
            node.cel_names[name] = escaped
    extra = raw.get("additionalProperties")
    if isinstance(extra, dict):
        if node.properties and structural:
            raise SchemaError(f"{path}.additionalProperties", "Forbidden: mutually exclusive with properties")
        node.additional = compile_schema(extra, f"{path}.additionalProperties", structural=structural)
    elif extra is True:
        node.additional = Schema(preserve_unknown=True)
    if isinstance(raw.get("items"), dict):
        node.items = compile_schema(raw["items"], f"{path}.items", structural=structural)
    elif node.type == "array" and structural:
        raise SchemaError(f"{path}.items", "Required value: must be specified")


def _check_list(node: Schema, path: str) -> None:
    if node.list_type not in ("atomic", "set", "map"):
        raise SchemaError(f"{path}.x-kubernetes-list-type", f'Unsupported value: "{node.list_type}"')
    if node.list_type == "map":
        if not node.list_keys:
            raise SchemaError(f"{path}.x-kubernetes-list-map-keys", "Required value: must not be empty for a map list")
        for key in node.list_keys:
            part = node.items.properties.get(key) if node.items else None
            if part is None:
                raise SchemaError(f"{path}.x-kubernetes-list-map-keys", f'Invalid value: "{key}": no such property')
            if node.items and key not in node.items.required and part.default is MISSING:
                message = "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"  # noqa: E501
                raise SchemaError(f"{path}.items.properties[{key}].default", message)


def _compile_pattern(pattern: str, path: str) -> re.Pattern[str]:
    # RE2's \z is Python's \Z; the rest of what schemas use is the same
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error as error:
        raise SchemaError(path, f"Invalid value: {pattern!r}: {error}") from None


def _rules(raw: JsonObject, path: str) -> Iterator[Rule]:
    for index, part in enumerate(raw.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{index}]"
        try:
            yield Rule.compile(part)
        except CelError as error:
            raise SchemaError(f"{where}.{error.field}", f"Invalid value: {error.expression!r}: {error}") from None


def _summarise(node: Schema) -> None:
    below = [*node.properties.values(), *filter(None, (node.additional, node.items))]
    node.has_defaults = node.default is not MISSING or any(part.has_defaults for part in below)
    node.has_transitions = any(rule.transition for rule in node.rules) or any(part.has_transitions for part in below)
    node.cel_converts = (
        bool(node.cel_names)
        or (node.type == "string" and node.limits.get("format") in ("date-time", "date", "duration", "byte"))
        or any(part.cel_converts for part in below)
    )


def cel_name(name: str) -> str:
    """Return a property's name as CEL rules write it (``my-field`` is ``my__dash__field``)."""
    if name in _RESERVED:
        return f"__{name}__"
    escaped = name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__")
    return escaped.replace("/", "__slash__")
