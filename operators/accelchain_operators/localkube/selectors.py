# SPDX-License-Identifier: Apache-2.0
"""Label and field selectors, parsed once into predicates over JSON objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from accelchain_operators.localkube.errors import bad_request
from accelchain_operators.localkube.objects import JsonObject, lookup

Predicate = Callable[[JsonObject], bool]

_KEY = r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?/)?[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?"
_VALUE = r"[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})?")
_ORDER = re.compile(rf"({_KEY})\s*(>|<)\s*(-?\d+)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether these labels fulfil the term."""
        present = self.key in labels
        match self.operator:
            case "exists":
                return present
            case "absent":
                return not present
            case "in":
                return present and labels[self.key] in self.values
            case "notin":
                return not present or labels[self.key] not in self.values
        try:
            number = int(labels.get(self.key, ""))
        except ValueError:
            return False
        return number > int(self.values[0]) if self.operator == ">" else number < int(self.values[0])


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse a label selector: ``a=b,c!=d,e in (f, g),h notin (i),j,!k,l>3``. Raises StatusError 400."""
    found: list[Requirement] = []
    for term in _split(text):
        if match := _SET.fullmatch(term):
            values = tuple(value.strip() for value in match[3].split(","))
            found.append(Requirement(match[1], match[2], values))
        elif match := _EQUAL.fullmatch(term):
            found.append(Requirement(match[1], "notin" if match[2] == "!=" else "in", (match[3] or "",)))
        elif match := _ORDER.fullmatch(term):
            found.append(Requirement(match[1], match[2], (match[3],)))
        elif match := _EXISTS.fullmatch(term):
            found.append(Requirement(match[2], "absent" if match[1] else "exists"))
        else:
            raise bad_request(f"unable to parse requirement: {term!r} is no term of a label selector")
    return tuple(found)


def parse_fields(text: str, supported: Collection[str]) -> tuple[tuple[str, bool, str], ...]:
    """Parse a field selector into (path, wanted equal, value). Raises StatusError 400 for a field not supported."""
    found: list[tuple[str, bool, str]] = []
    for term in (part.strip() for part in text.split(",")):
        if not term:
            continue
        match = re.fullmatch(r"([^!=]+?)\s*(!=|==|=)\s*(.*)", term)
        if not match:
            raise bad_request(f"invalid field selector: {term!r} (field=value or field!=value)")
        if match[1] not in supported:
            raise bad_request(f"field label not supported: {match[1]}")
        found.append((match[1], match[2] != "!=", match[3]))
    return tuple(found)


def field_text(value: Any) -> str:
    """Return a field's value as field selectors compare it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def predicate(label_selector: str, field_selector: str, supported: Collection[str]) -> Predicate | None:
    """Return a predicate for both selectors, or None where everything matches. Raises StatusError 400."""
    labels = parse_labels(label_selector)
    fields = [
        (tuple(path.split(".")), wanted, value) for path, wanted, value in parse_fields(field_selector, supported)
    ]
    if not labels and not fields:
        return None

    def matches(obj: JsonObject) -> bool:
        have = lookup(obj, "metadata", "labels") or {}
        return all(term.matches(have) for term in labels) and all(
            (field_text(lookup(obj, *path)) == value) == wanted for path, wanted, value in fields
        )

    return matches


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    terms: list[str] = []
    depth, term = 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            terms.append(term.strip())
            term = ""
        else:
            term += char
    terms.append(term.strip())
    return [term for term in terms if term]
