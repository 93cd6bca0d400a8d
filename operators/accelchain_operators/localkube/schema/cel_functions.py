# SPDX-License-Identifier: Apache-2.0
"""CEL functions that Kubernetes offers beyond the core language: strings, lists, math, sets, quantities, IP, URL.

Every function can be called as ``f(x, a)`` and as ``x.f(a)``. Quantities, addresses and URLs have no type of their own
here: ``quantity('1Gi')`` is a number, ``ip()`` and ``url()`` give back the text after checking it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

_SUFFIXES = {
    "": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?")


def parse_quantity(text: str) -> Decimal:
    """Parse a Kubernetes quantity (``100m``, ``1.5Gi``, ``1e3``). Raises ValueError."""
    match = _QUANTITY.fullmatch(str(text))
    if not match:
        raise ValueError(f"quantities must match the regular expression '{_QUANTITY.pattern}': {text!r}")
    number, suffix, exponent = Decimal(match[1]), match[2] or "", match[3]
    if exponent:
        return number.scaleb(int(exponent))
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    return number.scaleb(_SUFFIXES[suffix])


def _quantity(text: str) -> int | float:
    value = parse_quantity(text)
    return int(value) if value == value.to_integral_value() else float(value)


def _accepts(function: Callable[[str], Any]) -> Callable[[Any], bool]:
    def check(text: Any) -> bool:
        try:
            function(text)
        except (ValueError, TypeError):
            return False
        return True

    return check


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        return list(text) if limit < 0 else [*text[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _index_of(value: Any, part: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(part, start)
    return value.index(part) if part in value else -1


def _last_index_of(value: Any, part: Any) -> int:
    if isinstance(value, str):
        return value.rfind(part)
    return next((i for i in range(len(value) - 1, -1, -1) if value[i] == part), -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"index out of range: substring({start}, {stop}) of {len(text)} characters")
    return text[start:stop]


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ValueError(f"index out of range: {index}")
    return text[index : index + 1]


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _translate(name: str, table: tuple[str, str]) -> Callable[[str], str]:
    mapping = str.maketrans(*table)
    return lambda text: text.translate(mapping)


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[0] if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _is_sorted(items: list[Any]) -> bool:
    return all(a <= b for a, b in pairwise(items))


def _url(text: str) -> str:
    if not urlsplit(text).scheme and not text.startswith("/"):
        raise ValueError(f"URL parse error: {text!r}")
    return text


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(values[0] if len(values) == 1 and isinstance(values[0], list) else values)


_LOWER, _UPPER = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "join": lambda items, separator="": separator.join(items),
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "substring": _substring,
    "charAt": _char_at,
    "replace": _replace,
    "trim": str.strip,
    "reverse": lambda value: value[::-1],
    "lowerAscii": _translate("lowerAscii", (_UPPER, _LOWER)),
    "upperAscii": _translate("upperAscii", (_LOWER, _UPPER)),
    "find": _find,
    "findAll": _find_all,
    "bool": lambda value: value if isinstance(value, bool) else {"true": True, "false": False}[value],
    "isSorted": _is_sorted,
    "sum": sum,
    "min": min,
    "max": max,
    "distinct": _distinct,
    "math.greatest": _spread(max),
    "math.least": _spread(min),
    "math.abs": abs,
    "sets.contains": lambda whole, part: all(item in whole for item in part),
    "sets.intersects": lambda left, right: any(item in right for item in left),
    "sets.equivalent": lambda left, right: all(i in right for i in left) and all(i in left for i in right),
    "quantity": _quantity,
    "isQuantity": _accepts(parse_quantity),
    "isInteger": lambda value: isinstance(value, int),
    "isGreaterThan": lambda left, right: left > right,
    "isLessThan": lambda left, right: left < right,
    "compareTo": lambda left, right: (left > right) - (left < right),
    "isIP": _accepts(ipaddress.ip_address),
    "isCIDR": _accepts(lambda text: ipaddress.ip_network(text, strict=False)),
    "url": _url,
    "isURL": _accepts(_url),
    "getScheme": lambda text: urlsplit(text).scheme,
    "getHost": lambda text: urlsplit(text).netloc.rpartition("@")[2],
    "getHostname": lambda text: urlsplit(text).hostname or "",
    "getPort": lambda text: str(urlsplit(text).port or ""),
    "getEscapedPath": lambda text: urlsplit(text).path,
}
