# SPDX-License-Identifier: Apache-2.0
"""YAML as Argo and kubectl read it, and written so that they read the same again.

They take ``y`` for true, ``12:30`` for a text and ``1e3`` for a number; Python's YAML takes each for something else.
The rules are those of go.yaml.in/yaml v2 (resolve.go) and sigs.k8s.io/yaml v1.6 (keys).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

_YAML: Final = "tag:yaml.org,2002:"
_PLAIN: Final = "!plain"
"""Tag of scalars that are written without quotes and without a tag."""
_MAX_NODES: Final = 1_000_000
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))",
    re.ASCII,
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_BREAKS: Final = re.compile("[\r\x85\u2028\u2029]")
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "bool": (bool,), "int": (int,), "float": (float,), "null": (type(None),), "timestamp": (),
}  # fmt: skip


class UnsureError(Exception):
    """A document of which can't be told what Argo reads; the message says where."""

    def __init__(self, reason: str, mark: yaml.Mark | None = None) -> None:
        """Say why, without a full stop, and where."""
        super().__init__(f"line {mark.line + 1}: {reason}." if mark else f"{reason}.")
        self._reason = reason
        self._mark = mark

    def of(self, file: str) -> str:
        """Return the message with ``FILE:LINE:COLUMN`` before it."""
        mark = self._mark
        return f"{file}:{mark.line + 1}:{mark.column + 1}: {self._reason}." if mark else f"{file}: {self._reason}."


class BrokenError(UnsureError):
    """A text that is no YAML, or more than any file of workflows is."""


def read(text: str) -> list[Any]:
    """Return the documents of a text as Argo has them: JSON, with keys that are texts. Empty ones are left out.

    Args:
        text: YAML.

    Raises:
        BrokenError: it is no YAML, or too large.
        UnsureError: it holds something that Argo refuses, or that has no form in JSON.
    """
    left = [_MAX_NODES]
    try:
        made = [_made(node, left) for node in yaml.compose_all(text, Loader=_Loader)]
    except RecursionError:
        raise BrokenError("this is no YAML: it is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        reason = f"this is no YAML: {error.problem or error.context}"
        raise BrokenError(reason, error.problem_mark or error.context_mark) from None
    except (yaml.YAMLError, ValueError) as error:
        raise BrokenError(f"this is no YAML: {' '.join(str(error).split())}") from None
    return [value for value in made if value is not None]


def write(documents: Sequence[Any]) -> str:
    """Return documents as one YAML text; nothing is written by reference."""
    return "".join(
        f"---\n{yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)}"
        for document in documents
    )


def resolved(text: str) -> Any:
    """Return the value of a text that is written without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":  # the one place where underscores have to stand between digits
        return text if re.search(r"_(?!\d)|(?<!\d)_", text) else _float(text, text.replace("_", ""))
    if text[0] not in "+-0123456789":
        return text
    number = text.replace("_", "")
    if found := _INTEGER.fullmatch(number):
        kind = str(found.lastgroup)
        value = int(found[kind], _BASES[kind]) * (-1 if found["sign"] == "-" else 1)
        # Go's integers with a sign have 63 bits, those without one 64
        if -(2**63) <= value < (2**63 if found["sign"] else 2**64):
            return value
    return _float(text, number)


def _float(text: str, number: str) -> float | str:
    value = float(number) if _FLOAT.fullmatch(number) else math.inf
    return text if math.isinf(value) else value


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Marks scalars that have neither quotes nor a tag."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}


def _made(node: yaml.Node | None, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise BrokenError("this is too large for a file of workflows")
    if node is None:
        return None
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
        return [_made(child, left) for child in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
        return _mapping(node, left)
    raise _unsure(node, f"the tag {node.tag} is none of JSON's")


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.tag == f"{_YAML}str":
        return text
    value = resolved(text)
    if node.tag == _PLAIN:
        return value
    kind = node.tag.removeprefix(_YAML)
    if kind == "binary":
        try:
            return base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _unsure(node, "what is tagged as binary is no text in base64") from None
    if kind == "float" and type(value) is int:
        return float(value)
    if type(value) in _KINDS.get(kind, ()):
        return value
    raise _unsure(node, f"the tag {node.tag} does not fit what it stands for")


def _mapping(node: yaml.MappingNode, left: list[int]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    own: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag in (_PLAIN, f"{_YAML}merge") and key.value == "<<":
            for merged in _merged(value):
                made |= _mapping(merged, left)  # where it stands, whatever is there already: so does Argo
            continue
        name = _key(key)
        if name in own:
            raise _unsure(key, f"the key '{name}' is there twice")
        own.add(name)
        made[name] = _made(value, left)
    return made


def _merged(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield the mappings of a merge key, the one that counts most last."""
    for each in reversed(node.value) if isinstance(node, yaml.SequenceNode) else (node,):
        if not isinstance(each, yaml.MappingNode):
            raise _unsure(node, "'<<' is not followed by a mapping")
        yield each


def _key(node: yaml.Node) -> str:
    value = _scalar(node) if isinstance(node, yaml.ScalarNode) else None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    if isinstance(value, str):
        return value
    raise _unsure(node, "a key is no text")


def _unsure(node: yaml.Node, message: str) -> UnsureError:
    return UnsureError(message, node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and in quotes what would be no text without."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(resolved(text), str) else "'"
    if _BREAKS.search(text):  # of YAML, and of nothing else: readers fold them
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar(f"{_YAML}str", text, style=style)


_Dumper.add_representer(str, _write_text)
