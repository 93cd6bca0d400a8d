# SPDX-License-Identifier: Apache-2.0
"""What is read and not there: outputs that a step of ours does not declare, and what our templates read themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.documents import Place
from accelchain.argo.core.unknown import JsonObject
from accelchain.argo.core.variables import texts, variables
from accelchain.chain.problems import choose

_REFERENCE: Final = re.compile(
    r"\b(?:tasks|steps)(?:\.|\[')([A-Za-z0-9_-]+)(?:'\])?\.outputs\.(parameters|artifacts)(?:\.|\[')([A-Za-z0-9_-]+)"
)


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
        for path, text in texts(place.template):
            for step, kind, name in _REFERENCE.findall(text):
                if step not in called:
                    continue
                declared = _declared(called[step], "outputs", kind)
                if name not in declared:
                    what = kind.removesuffix("s")
                    message = f"step '{step}' declares no output {what} '{name}': {choose(name, declared)}"
                    yield place.name, path, message


def _read_by(place: Place) -> Iterator[tuple[str, str, str]]:
    """Yield variables in a template of ours that Argo does not fill in there."""
    for read in variables(place.template):
        if read.scope in ("tasks", "steps"):
            other = f"{read.scope}.{read.name}"
            message = (
                f"{other} is known in the template that calls this one: pass it on as an argument, and read inputs."
            )
            yield place.name, read.path, message
        elif read.name not in (declared := _declared(place.template, "inputs", read.scope)):
            what = read.scope.removesuffix("s")
            yield (
                place.name,
                read.path,
                f"the template declares no input {what} '{read.name}': {choose(read.name, declared)}",
            )


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


def _declared(template: JsonObject, side: str, kind: str) -> list[str]:
    entries = template.get(side)
    listed = entries.get(kind) if isinstance(entries, dict) else None
    return [str(item.get("name")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
