# SPDX-License-Identifier: Apache-2.0
"""A fused workflow means what it meant, all that the rules allow is fused, and the way back is there."""

from __future__ import annotations

import copy
import json
import os
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from accelchain.argo.core.body import is_ours
from accelchain.argo.core.documents import templates
from accelchain.argo.fuse import Functions, fuse, restored

EXAMPLES = int(os.environ.get("ACCELCHAIN_FUSE_EXAMPLES", "60"))


def chains(document: dict[str, Any]) -> set[tuple[str, tuple[str, ...]]]:
    """Return the fused chains of a document: the template that calls, and the steps."""
    found = {}
    for place in templates(document):
        if is_ours(place.template):
            found[place.name] = tuple(place.template["metadata"]["annotations"]["accelchain.io/fused-steps"].split(","))
    result = set()
    for place in templates(document):
        calls = place.template.get("dag", {}).get("tasks", []) + [
            call for group in place.template.get("steps", []) for call in group
        ]
        result |= {(place.name, found[call["template"]]) for call in calls if call.get("template") in found}
    return result


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_fused_workflows_give_the_same_results(
    seed: int, functions: Functions, executor: ModuleType, generator: ModuleType
) -> None:
    made = generator.make(seed)
    before = copy.deepcopy(made.document)
    fused = fuse(made.document, "w", functions)
    assert made.document == before
    assert executor.Plain(fused.document, made.store).run() == executor.Plain(before, made.store).run()
    assert chains(fused.document) == made.expected
    again = fuse(fused.document, "w", functions)
    assert again.document == fused.document and not again.changed
    if fused.changed:
        assert restored(json.loads(json.dumps(fused.document))) == before
    told = {(entry.template, entry.step) for entry in fused.entries if entry.outcome == "fused"}
    assert told == {(template, step) for template, steps in made.expected for step in steps}
    assert all(entry.rule is not None for entry in fused.entries if entry.outcome == "kept")


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "{{", "{{tasks.x.id}}", 0, -1, 1.5, True, [], [None], [[]], {}, {"name": 1}]
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_no_document_makes_it_crash(
    seed: int, data: st.DataObject, functions: Functions, generator: ModuleType
) -> None:
    document = generator.make(seed).document
    places = list(spots(document["spec"]))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(JUNK)
    before = copy.deepcopy(document)
    fused = fuse(document, "w", functions)
    assert document == before
    if fused.changed:
        assert restored(fused.document) == before


def spots(value: Any) -> Any:
    """Yield all places within a value, each as its holder and the key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from spots(value[key])
