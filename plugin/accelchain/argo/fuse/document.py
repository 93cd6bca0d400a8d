# SPDX-License-Identifier: Apache-2.0
"""One document of Argo's: what of it can be fused is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accelchain.argo.core.documents import workflow_specs
from accelchain.argo.fuse.build import FUSED_STEPS, build
from accelchain.argo.fuse.catalogue import Functions
from accelchain.argo.fuse.form import fault_of_call, fault_of_template
from accelchain.argo.fuse.leaf import notes_of
from accelchain.argo.fuse.mapping import UnmappedError, map_template
from accelchain.argo.fuse.original import FusedError, is_fused, keep, restored
from accelchain.argo.fuse.report import Entry, Stop
from accelchain.argo.fuse.scope import Chain, Scope, Step
from accelchain.argo.fuse.search import Built, find
from accelchain.argo.fuse.tags import texts

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
            for call in _calls(template):
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
    metadata = _mapping(document.get("metadata"))
    notes = [*_mapping(metadata.get("labels")), *_mapping(metadata.get("annotations"))]
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
    defaults = _mapping(spec.get("templateDefaults"))
    effective = [_merged(defaults, template) for template in spec["templates"]]
    by_name = {str(template.get("name")): template for template in effective}
    leaves: dict[int, Any] = {}
    calls = {name: list(_calls(template)) for name, template in by_name.items()}
    exits = _reached(_exit_roots(spec, calls), {name: _called(listed) for name, listed in calls.items()})
    failures = any("workflow.failures" in text for _, text in texts(spec))
    for i, template in enumerate(effective):
        name = str(template.get("name"))
        listed = list(_calls(template))
        if not listed or len({call["name"] for call in listed}) != len(listed):
            continue
        steps = {call["name"]: _step(call, by_name, defaults, functions, leaves, whole) for call in listed}
        dag = isinstance(template.get("dag"), dict)
        groups = () if dag else [[call["name"] for call in group] for group in template["steps"]]
        around = _reached([name], _callers(calls))
        limits = [each for each in around if by_name[each].get("parallelism") is not None]
        yield i, Scope("dag" if dag else "steps", name, template, spec, steps, groups, failures, name in exits, limits)


def _merged(defaults: JsonObject, template: JsonObject) -> JsonObject:
    """Return a template with the defaults of all."""
    merged = dict(template)
    for key, value in defaults.items():
        if key not in merged or merged[key] is None:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = _merged(value, merged[key])
    return merged


def _calls(template: JsonObject) -> Iterator[JsonObject]:
    """Yield the tasks of a dag or the steps of steps; nothing where one of them has no form."""
    dag, groups = template.get("dag"), template.get("steps")
    if isinstance(dag, dict) and groups is None:
        listed = dag.get("tasks")
    elif isinstance(groups, list) and dag is None and all(isinstance(group, list) for group in groups):
        listed = [call for group in groups for call in group]
    else:
        return
    well = isinstance(listed, list) and all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in listed)
    yield from listed if well and isinstance(listed, list) else ()


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


def _mapping(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _called(calls: Iterable[JsonObject]) -> list[str]:
    return [str(call["template"]) for call in calls if call.get("template") is not None]


def _callers(calls: Mapping[str, Sequence[JsonObject]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, listed in calls.items():
        for called in _called(listed):
            found.setdefault(called, []).append(name)
    return found


def _exit_roots(spec: JsonObject, calls: Mapping[str, Sequence[JsonObject]]) -> list[str]:
    """Return the templates that run as exit handlers or hooks."""
    found: list[str] = []
    for holder in (spec, *(call for listed in calls.values() for call in listed)):
        if isinstance(holder.get("onExit"), str):
            found.append(holder["onExit"])
        hooks = holder.get("hooks")
        found += _called(hook for hook in (hooks.values() if isinstance(hooks, dict) else ()) if isinstance(hook, dict))
    return found


def _reached(roots: Iterable[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    found: dict[str, None] = {}
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = None
            left += edges.get(name, ())
    return list(found)


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
