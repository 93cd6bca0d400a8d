# SPDX-License-Identifier: Apache-2.0
"""YAML files with documents of Argo's and of ours: what each holds, and what it is called in messages."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from accelchain.argo.core.documents import is_list

_MAX_NODES: Final = 1_000_000
"""More values than any file of workflows holds: anchors that multiply are refused before they are followed."""


class TextError(Exception):
    """A file that is no YAML; the message says where."""


class DuplicateKeyError(TextError):
    """A mapping has a key twice: YAML forbids it, and Argo takes one of them."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    source: str
    """The file's name."""
    number: int
    """1 for the first of the file."""
    value: Any

    @property
    def title(self) -> str:
        """``Workflow/detect``, or ``document 2`` where it has no name."""
        value = self.value if isinstance(self.value, dict) else {}
        meta = value.get("metadata")
        name = (meta.get("name") or meta.get("generateName")) if isinstance(meta, dict) else None
        kind = value.get("kind")
        return f"{kind}/{name}" if kind and name else f"document {self.number}"


def load(text: str, source: str) -> list[Document]:
    """Return the documents of a text, in its order; lists of kubectl (``kind: List``) as what they hold.

    Args:
        text: YAML or JSON; empty documents are skipped.
        source: the file's name, for messages.

    Raises:
        DuplicateKeyError: a key is there twice.
        TextError: it is no YAML, or holds nothing.
    """
    try:
        parsed = [value for value in yaml.load_all(text, Loader=_Loader) if value is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        kind = DuplicateKeyError if isinstance(error, _TwiceError) else TextError
        raise kind(f"{where}: this is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise TextError(f"{source}: this is no YAML: {reason}.") from None
    values: list[Any] = []
    for value in parsed:
        _check_size(value, source)
        values += value["items"] if is_list(value) else [value]
    if not values:
        raise TextError(f"{source}: the file is empty: give a Workflow or a DataFlow.")
    return [Document(source, i, _as_json(value)) for i, value in enumerate(values, start=1)]


def _check_size(document: Any, source: str) -> None:
    stack = [document]
    for _ in range(_MAX_NODES):
        if not stack:
            return
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list):
            stack += value
    raise TextError(f"{source}: this is too large for a file of workflows.")


def _as_json(value: Any) -> Any:
    """Return a value as Argo's JSON has it: keys are text, and so is what JSON has no form for."""
    if isinstance(value, dict):
        return {_key(key): _as_json(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_json(child) for child in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


class _TwiceError(yaml.constructor.ConstructorError):
    """A key is there twice."""


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that is given twice, and leaves dates and times as text, as Argo's JSON has them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise _TwiceError(None, None, f"the key '{key.value}' is there twice", key.start_mark)
                seen.add(key.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


_NUMBERS: Final = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
}
"""Numbers as Argo's YAML (go.yaml.in/yaml v2, resolve.go) takes them: ``1e3`` is one, and ``12:30`` is a text."""

_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_NUMBERS, "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
