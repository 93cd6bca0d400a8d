# SPDX-License-Identifier: Apache-2.0
"""What is read and not there: outputs that a step of ours does not declare, and what our templates read themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.documents import Place
from accelchain.argo.core.unknown import TAG, JsonObject
from accelchain.chain.problems import choose

_REFERENCE: Final = re.compile(
    r"\b(?:tasks|steps)(?:\.|\[')([A-Za-z0-9_-]+)(?:'\])?\.outputs\.(parameters|artifacts)(?:\.|\[')([A-Za-z0-9_-]+)"
)


_OWN: Final = re.compile(r"\binputs(?:\.|\[')(parameters|artifacts)(?:'\])?(?:\.|\[')([A-Za-z0-9_-]+)")
_OTHERS: Final = re.compile(r"\b((?:tasks|steps)(?:\.|\[')[A-Za-z0-9_-]+)")


def check_references(document: JsonObject, places: Sequence[Place]) -> Iterator[tuple[str, str, str]]:
    """Yield what is read and not declared: the template that reads, the field, and a sentence.

    Args:
        document: one of Argo's.
        places: its templates.
    """
    ours = {place.name: place.template for place in places if is_ours(place.template)}
    for place in places:
        if is_ours(place.template):
            yield from _read_by(place)
        called = dict(_called(place, ours))
        if not called:
            continue
        for path, text in _texts(place.template, ""):
            for step, kind, name in _REFERENCE.findall(text):
                if step not in called:
                    continue
                declared = _declared(called[step], kind)
                if name not in declared:
                    what = kind.removesuffix("s")
                    message = f"step '{step}' declares no output {what} '{name}': {choose(name, declared)}"
                    yield place.name, path, message


def _read_by(place: Place) -> Iterator[tuple[str, str, str]]:
    """Yield variables in a template of ours that Argo does not fill in there."""
    for path, text in _texts(place.template, ""):
        for tag in TAG.findall(text):
            for kind, name in _OWN.findall(tag):
                declared = _listed(place.template, "inputs", kind)
                if name not in declared:
                    what = kind.removesuffix("s")
                    message = f"the template declares no input {what} '{name}': {choose(name, declared)}"
                    yield place.name, path, message
            for other in _OTHERS.findall(tag):
                message = (
                    f"{other} is known in the template that calls this one: pass it on as an argument, and read inputs."
                )
                yield place.name, path, message


def _called(place: Place, ours: Mapping[str, JsonObject]) -> Iterator[tuple[str, JsonObject]]:
    """Yield the steps of a template that are ours, each with its template."""
    dag = place.template.get("dag")
    calls = list(dag.get("tasks") or ()) if isinstance(dag, dict) else []
    steps = place.template.get("steps")
    for group in steps if isinstance(steps, list) else ():
        calls += group if isinstance(group, list) else [group]
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            continue
        inline = call.get("inline")
        template = inline if isinstance(inline, dict) else ours.get(str(call.get("template", "")))
        if template is not None and is_ours(template):
            yield call["name"], template


def _declared(template: JsonObject, kind: str) -> list[str]:
    return _listed(template, "outputs", kind)


def _listed(template: JsonObject, side: str, kind: str) -> list[str]:
    entries = template.get(side)
    listed = entries.get(kind) if isinstance(entries, dict) else None
    return [str(item.get("name")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if "{{" in value or path.endswith(("fromExpression", "expression", "when", "from")):
            yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _texts(child, f"{path}[{i}]")
