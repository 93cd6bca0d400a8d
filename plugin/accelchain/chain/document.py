# SPDX-License-Identifier: Apache-2.0
"""Users' YAML files: one or more of our resources. What is wrong is said in one sentence, with the field's path."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelchain.api import API_VERSION, KINDS, Resource
from accelchain.api.common import DNS_LABEL, IDENTIFIER, PORT_REFERENCE
from accelchain.api.function_type import QUANTITY, SEMVER
from accelchain.chain.model_fields import fields_at
from accelchain.chain.problems import choose

_KINDS: Mapping[str, type[Resource]] = {kind.kind_name: kind for kind in KINDS}
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_MAX_NODES = 100_000
"""More values than any chain has: a file whose anchors multiply is refused before they are followed."""

_FORMS: Mapping[str, str] = {
    DNS_LABEL: "is no name: use lower-case letters, digits and '-'",
    IDENTIFIER: "is no name: use letters, digits, '-' and '_', a letter first",
    PORT_REFERENCE: "names no port: write function.port",
    SEMVER: "is no version: write three numbers, such as 1.0.0",
    QUANTITY: "is no amount of memory: write a number with Ki, Mi or Gi, such as 64Mi",
}
"""What a string must look like, by the pattern that it must fit."""

Location = tuple[int | str, ...]


class DocumentError(Exception):
    """A file that is not what it should be."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        """Name of the source and the field: ``flow.yaml: spec.placement.rules[0].deviceTypes[1]``."""
        self.message = message


def load_documents(text: str, source_name: str) -> list[Resource]:
    """Return the resources of a YAML text, in its order.

    Args:
        text: one or more documents. Empty ones are skipped.
        source_name: the file's name, for messages.

    Raises:
        DocumentError: no YAML, not ours, or a field that is unknown, missing or of the wrong type.
    """
    try:
        documents = [d for d in yaml.load_all(text, Loader=_UniqueKeyLoader) if d is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source_name}:{mark.line + 1}:{mark.column + 1}" if mark else source_name
        raise DocumentError(where, f"this is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) if not isinstance(error, RecursionError) else "it is nested too deeply"
        raise DocumentError(source_name, f"this is no YAML: {reason}.") from None
    if not documents:
        raise DocumentError(source_name, f"the file is empty: give a DataFlow of {API_VERSION}.")
    return [_load(document, source_name) for document in documents]


def field_path(location: Iterable[int | str]) -> str:
    """Return a location as Kubernetes writes it: ``spec.placement.rules[0].deviceTypes[1]``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _load(document: Any, source_name: str) -> Resource:
    if not isinstance(document, dict):
        raise DocumentError(source_name, f"this is no resource: give a DataFlow of {API_VERSION}.")
    kind = _kind(document, source_name)
    name = document.get("metadata", {}).get("name", "") if isinstance(document.get("metadata"), dict) else ""
    # as everywhere: fields of the DataFlow stand alone, those of other resources after their name
    prefix = f"{source_name}: " + ("" if kind.kind_name == "DataFlow" else f"{kind.kind_name}/{name} ")
    _check_keys(document, prefix)
    for key in document:
        if key not in _TOP:
            raise DocumentError(f"{prefix}{key}", f"unknown field: {choose(key, _TOP)}")
    try:
        resource = kind.model_validate(document, strict=True)
    except ValidationError as error:
        # a misspelt field is the cause of the one that is missing
        errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location, message = _explain(errors[0], kind, document)
        raise DocumentError(prefix + field_path(location), message) from None
    _check_name(resource, f"{prefix}metadata.name")
    return resource


def _kind(document: Mapping[Any, Any], source_name: str) -> type[Resource]:
    version, name = document.get("apiVersion"), document.get("kind")
    if version != API_VERSION:
        given = f"'{version}' is not ours" if version else "it is missing"
        raise DocumentError(f"{source_name}: apiVersion", f"{given}: resources of accelchain have {API_VERSION}.")
    if not isinstance(name, str) or name not in _KINDS:
        given = f"there is no kind '{name}'" if name else "it is missing"
        raise DocumentError(f"{source_name}: kind", f"{given}: {choose(str(name or ''), _KINDS)}")
    return _KINDS[name]


def _check_keys(document: Any, prefix: str) -> None:
    """Check that all keys are text: YAML reads ``on``, ``no`` and ``1`` as something else."""
    stack: list[tuple[Location, Any]] = [((), document)]
    for _ in range(_MAX_NODES):
        if not stack:
            return
        location, value = stack.pop()
        if isinstance(value, dict):
            for key, child in value.items():
                if not isinstance(key, str):
                    shown = str(key).lower() if isinstance(key, bool) else str(key)
                    path = prefix + (field_path(location) or "document")
                    raise DocumentError(path, f"YAML reads a key as {_type_name(key)} ({shown}): put it in quotes.")
                stack.append(((*location, key), child))
        elif isinstance(value, list):
            stack += [((*location, i), child) for i, child in enumerate(value)]
    raise DocumentError(prefix.rstrip(": "), "this is too large for a resource.")


def _check_name(resource: Resource, path: str) -> None:
    name = resource.metadata.name
    if not name:
        raise DocumentError(path, f"the {resource.kind_name} has no name: give it one.")
    limit = 63 if resource.kind_name == "DataFlow" else 253
    if len(name) > limit:
        raise DocumentError(path, f"'{name[:20]}…' has {len(name)} characters: {limit} are allowed.")
    if not _SUBDOMAIN.fullmatch(name):
        raise DocumentError(path, f"'{name}' is no name: use lower-case letters, digits, '-' and '.'.")


def _explain(error: ErrorDetails, kind: type[Resource], document: Any) -> tuple[Location, str]:
    """Return where an error is, and a sentence."""
    context: Mapping[str, Any] = error.get("ctx", {})
    location, value = _follow(error["loc"], document)
    match error["type"]:
        case "missing":
            return error["loc"], "this field is missing."
        case "extra_forbidden":
            return error["loc"], f"unknown field: {choose(str(error['loc'][-1]), fields_at(kind, location[:-1]))}"
        case "literal_error" | "enum":
            allowed = context["expected"].replace(" or ", ", ").replace("'", "")
            return location, f"{_shown(value)} is not allowed: choose from {allowed}."
        case "string_pattern_mismatch":
            form = _FORMS.get(context["pattern"], f"must fit the pattern {context['pattern']}")
            return location, f"{_shown(value)} {form}."
        case "string_too_short" | "string_too_long" | "too_short" | "too_long":
            least, most = context.get("min_length"), context.get("max_length")
            what = "characters" if error["type"].startswith("string") else "entries"
            wanted = f"at least {least}" if least is not None else f"at most {most}"
            return location, f"there must be {wanted} {what}."
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return location, f"{_shown(value)} is out of range: {error['msg'].removeprefix('Input ')}."
    wanted = _wanted(error, location)
    hint = ""
    if wanted == "a string" and isinstance(value, bool | int | float):
        hint = "; put it in quotes"
    return location, f"{_shown(value)} is {_type_name(value)}, {wanted} is wanted{hint}."


def _follow(location: Location, document: Any) -> tuple[Location, Any]:
    """Return the part of a location that is in the document, and what is there; members of a union are no fields."""
    value = document
    for depth, part in enumerate(location):
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if not inside:
            return location[:depth], value
        value = value[part]
    return location, value


def _wanted(error: ErrorDetails, location: Location) -> str:
    if len(error["loc"]) > len(location):  # several types were tried
        return "an integer or a name" if "shape" in error["loc"] else "a string, number or boolean"
    words = {"string": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}
    words |= {"list": "a list", "dict": "a mapping", "model": "a mapping"}
    return words.get(error["type"].partition("_")[0], "something else")


def _type_name(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "this"
    if value is None or isinstance(value, bool):
        return "it" if value is None else str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…'"


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
