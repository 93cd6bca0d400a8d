# SPDX-License-Identifier: Apache-2.0
"""One document of Argo's: what of it can be fused is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accelchain.argo.core.documents import workflow_specs
from accelchain.argo.fuse.around import Around, calls_of, mapping
from accelchain.argo.fuse.build import FUSED_STEPS, build
from accelchain.argo.fuse.catalogue import Functions
from accelchain.argo.fuse.form import fault_of_call, fault_of_template
from accelchain.argo.fuse.leaf import notes_of
from accelchain.argo.fuse.mapping import UnmappedError, map_template
from accelchain.argo.fuse.original import FusedError, is_fused, keep, restored
from accelchain.argo.fuse.report import Entry, Stop
from accelchain.argo.fuse.scope import Chain, Scope, Step
from accelchain.argo.fuse.search import Built, find
from accelchain.argo.fuse.tags import tells_failures

JsonObject = dict[str, Any]

_BODIES: Final = (
    "container", "script", "containerSet", "dag", "steps", "suspend", "resource", "data", "http", "plugin",
    "inputs", "outputs",
)  # fmt: skip
_PIPELINES: Final = "pipelines.kubeflow.org/"


@dataclass(frozen=True, slots=True)
class Fused:
    """A document, and what became of its steps."""

    document: JsonObject
    changed: bool
    entries: tuple[Entry, ...]


def fuse(document: JsonObject, title: str, functions: Functions) -> Fused:
    """Fuse every chain of a document that the rules allow.

    Args:
        document: ``is_argo``; it is not changed.
        title: what it is called in the report.
        functions: what steps may stand for.

    Raises:
        FusedError: it was fused before and its fused part was edited, or its original is too large to be kept.
    """
    original = restored(document) if is_fused(document) else document
    result = copy.deepcopy(original)
    entries: list[Entry] = []
    before: dict[str, JsonObject] = {}
    added: list[str] = []
    for _, spec in workflow_specs(result):
        listed = spec.get("templates")
        if not isinstance(listed, list) or not all(isinstance(template, dict) for template in listed):
            continue
        names = [template.get("name") for template in listed]
        new: list[JsonObject] = []
        for i, scope in _scopes(spec, functions, _kept_whole(document, spec, names)):
            taken = [*map(str, names), *(template["name"] for template in new)]
            chains, kept = find(scope, lambda chain: build(chain, functions.types))
            named_apart = _apart(chains, taken)
            entries += _entries(title, scope, named_apart, kept)
            if named_apart:
                before[scope.name] = copy.deepcopy(listed[i])
                _replace(listed[i], named_apart)
                new += [template for _, (template, _) in named_apart]
        listed += new
        added += [template["name"] for template in new]
    if original is not document:
        _refuse_less(document, entries)
    if added:
        keep(result, before, added)
    return Fused(result, result != document, tuple(entries))


def _refuse_less(document: JsonObject, entries: Sequence[Entry]) -> None:
    """Refuse to take back what was fused already, as happens where a function is not known.

    Raises:
        FusedError: a step that is part of a DataFlow would be a Pod again.
    """
    fused = set(_fused_steps(document))
    for entry in entries:
        if entry.outcome == "kept" and (entry.template, entry.step) in fused:
            raise FusedError(
                f"step '{entry.step}' of '{entry.template}' is fused already, and would not be now: {entry.sentence} "
                "Give what is missing (--functions, --context), or take it back with unfuse."
            )


def _fused_steps(document: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield template and step of all that a fused document has within DataFlows."""
    for _, spec in workflow_specs(document):
        notes = {template["name"]: notes_of(template) for template in spec["templates"]}
        for template in spec["templates"]:
            for call in calls_of(template):
                steps = str(notes.get(str(call.get("template")), {}).get(FUSED_STEPS, ""))
                yield from ((template["name"], step) for step in steps.split(",") if step)


def _apart(chains: Sequence[tuple[Chain, Built]], taken: Sequence[str]) -> list[tuple[Chain, Built]]:
    """Return chains whose templates have names of their own."""
    there, found = set(taken), []
    for chain, (template, call) in chains:
        name, number = template["name"], 2
        while name in there:
            name, number = f"{template['name']}-{number}", number + 1
        there.add(name)
        found.append((chain, (template | {"name": name}, call | {"template": name})))
    return found


def _kept_whole(document: JsonObject, spec: JsonObject, names: Sequence[Any]) -> Stop | None:
    """Return why nothing of a document can be fused; None: its steps are looked at one by one."""
    metadata = mapping(document.get("metadata"))
    notes = [*mapping(metadata.get("labels")), *mapping(metadata.get("annotations"))]
    if any(str(note).startswith(_PIPELINES) for note in notes):
        return Stop(1, "", "Kubeflow Pipelines compiled it, and keeps books of its Pods.")
    defaults = spec.get("templateDefaults")
    if bodies := [field for field in _BODIES if isinstance(defaults, dict) and defaults.get(field) is not None]:
        return Stop(9, "", f"templateDefaults has {bodies[0]}, which would go into the DataFlow's template too.")
    if not all(isinstance(name, str) and name for name in names):
        return Stop(1, "", "one of its templates has no name.")
    if twice := [name for name in names if names.count(name) > 1]:
        return Stop(1, "", f"two templates are called '{twice[0]}'.")
    return None


def _scopes(spec: JsonObject, functions: Functions, whole: Stop | None) -> Iterator[tuple[int, Scope]]:
    """Yield the templates that call steps, each with its index."""
    defaults = mapping(spec.get("templateDefaults"))
    effective = [_merged(defaults, template) for template in spec["templates"]]
    by_name = {str(template.get("name")): template for template in effective}
    leaves: dict[int, Any] = {}
    around = Around(spec, by_name)
    failures = tells_failures(spec)
    for i, template in enumerate(effective):
        name = str(template.get("name"))
        listed = list(calls_of(template))
        if not listed or len({call["name"] for call in listed}) != len(listed):
            continue
        steps = {call["name"]: _step(call, by_name, defaults, functions, leaves, whole) for call in listed}
        dag = isinstance(template.get("dag"), dict)
        groups = () if dag else [[call["name"] for call in group] for group in template["steps"]]
        yield (
            i,
            Scope(
                kind="dag" if dag else "steps",
                name=name,
                template=template,
                spec=spec,
                steps=steps,
                groups=groups,
                tells_failures=failures,
                exits=name in around.exits,
                limits=around.limits(name),
                arrivals=around.arrivals(name),
            ),
        )


def _merged(defaults: JsonObject, template: JsonObject, depth: int = 0) -> JsonObject:
    """Return a template with the defaults of all."""
    merged = dict(template)
    for key, value in defaults.items():
        if merged.get(key) is None or (depth == 0 and merged[key] in ("", [])):  # Argo writes no empty field
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = _merged(value, merged[key], depth + 1)
    return merged


def _step(
    call: JsonObject,
    by_name: Mapping[str, JsonObject],
    defaults: JsonObject,
    functions: Functions,
    leaves: dict[int, Any],
    whole: Stop | None,
) -> Step:
    name, inline = call["name"], call.get("inline")
    template = _merged(defaults, inline) if isinstance(inline, dict) else by_name.get(str(call.get("template")), {})
    if whole is not None:
        return Step(name, call, template, None, Stop(whole.rule, name, whole.sentence))
    if call.get("templateRef") is not None or not template:
        return Step(name, call, {}, None, Stop(1, name, "its template is in another document (templateRef)."))
    if form := fault_of_call(call):
        return Step(name, {"name": name}, template, None, Stop(1, name, f"its {form} has no form that Argo reads."))
    if form := fault_of_template(template):
        return Step(name, call, {}, None, Stop(1, name, f"its template's {form} has no form that Argo reads."))
    key = id(inline) if isinstance(inline, dict) else id(template)
    if key not in leaves:
        try:
            leaves[key] = map_template(template, functions)
        except UnmappedError as error:
            leaves[key] = error
    found = leaves[key]
    if isinstance(found, UnmappedError):
        end = "" if found.message.endswith("?") else "."
        return Step(name, call, template, None, Stop(found.rule, name, found.message + end))
    return Step(name, call, template, found, None)


def _replace(template: JsonObject, chains: Sequence[tuple[Chain, Built]]) -> None:
    """Put one call in the place of each chain's steps: that of the last one."""
    calls = {chain.names[-1]: call for chain, (_, call) in chains}
    gone = {name for chain, _ in chains for name in chain.names[:-1]}
    if isinstance(template.get("dag"), dict):
        tasks = template["dag"]["tasks"]
        template["dag"]["tasks"] = [calls.get(t["name"], t) for t in tasks if t["name"] not in gone]
    else:
        groups = [[calls.get(s["name"], s) for s in group if s["name"] not in gone] for group in template["steps"]]
        template["steps"] = [group for group in groups if group]


def _entries(
    title: str, scope: Scope, chains: Sequence[tuple[Chain, Built]], kept: Mapping[str, Stop]
) -> Iterator[Entry]:
    into = {name: (chain, template["name"]) for chain, (template, _) in chains for name in chain.names}
    for name in scope.steps:
        if name not in into:
            yield Entry(title, scope.name, name, "kept", kept[name].rule, kept[name].sentence)
            continue
        chain, template = into[name]
        if len(chain.members) == 1:
            yield Entry(title, scope.name, name, "re-targeted", None, f"it is a DataFlow now: template '{template}'.")
        else:
            sentence = f"one DataFlow now does {', '.join(chain.names)}: template '{template}'."
            yield Entry(title, scope.name, name, "fused", None, sentence)
