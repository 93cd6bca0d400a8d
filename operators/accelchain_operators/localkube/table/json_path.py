# SPDX-License-Identifier: Apache-2.0
"""The part of Kubernetes' JSONPath that printer columns use: fields, indices, wildcards and filters."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.(?P<deep>\.)?(?P<name>(?:[A-Za-z0-9_\-/$]|\\.)+|\*)"
    r"|\[(?P<index>-?\d+|\*)\]"
    r"|\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]"
    r"|\[\?\(@(?P<path>(?:\.[A-Za-z0-9_\-]+)+)\s*(?P<op>==|!=|>=|<=|>|<)\s*(?P<value>'[^']*'|\"[^\"]*\"|[^)\s]+)\s*\)\]"
    r"|\[\?\(@(?P<exists>(?:\.[A-Za-z0-9_\-]+)+)\)\]"
)
_OPERATORS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


@lru_cache(maxsize=512)
def _parse(path: str) -> tuple[re.Match[str], ...]:
    steps: list[re.Match[str]] = []
    at = 0
    text = path.strip().removeprefix("{").removesuffix("}")
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"JSONPath {path!r}: can't read {text[at:]!r}")
        steps.append(match)
        at = match.end()
    return tuple(steps)


def find(obj: Any, path: str) -> list[Any]:
    """Return all values at a path. Raises ValueError where the path can't be read."""
    values = [obj]
    for step in _parse(path):
        values = [found for value in values for found in _descend(value, step)]
    return values


def _descend(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"] if step["name"] is not None else step["key"]
    if name is not None:
        if step["name"] == "*":
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        key = name.replace("\\.", ".")
        return [value[key]] if isinstance(value, dict) and key in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        if step["index"] == "*":
            return list(value)
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [item for item in value if _passes(item, step)]


def _passes(item: Any, step: re.Match[str]) -> bool:
    for name in (step["path"] or step["exists"])[1:].split("."):
        if not isinstance(item, dict) or name not in item:
            return False
        item = item[name]
    if step["exists"]:
        return True
    raw = step["value"]
    wanted = raw[1:-1] if raw[0] in "'\"" else json.loads(raw)
    try:
        return bool(_OPERATORS[step["op"]](item, wanted))
    except TypeError:
        return False
