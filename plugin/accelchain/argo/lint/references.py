# SPDX-License-Identifier: Apache-2.0
"""What other templates read of our steps: outputs that a step does not declare stay ``{{…}}`` for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.documents import Place
from accelchain.argo.core.unknown import JsonObject
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
    outputs = template.get("outputs")
    listed = outputs.get(kind) if isinstance(outputs, dict) else None
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
