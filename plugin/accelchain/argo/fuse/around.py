# SPDX-License-Identifier: Apache-2.0
"""Which templates of a document call which, what is around each, and where its input artifacts come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from accelchain.argo.fuse.leaf import by_name as by_name_of
from accelchain.argo.fuse.leaf import named
from accelchain.argo.fuse.scope import Arrival, source_of

JsonObject = dict[str, Any]


def calls(template: JsonObject) -> Iterator[JsonObject]:
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


def all_calls(template: JsonObject) -> Iterator[JsonObject]:
    """Yield the calls of a template, and those of the templates within them (inline)."""
    for call in calls(template):
        yield call
        if isinstance(call.get("inline"), dict):
            yield from all_calls(call["inline"])


def called(calls: Iterable[JsonObject]) -> list[str]:
    """Return the names of called templates; one of a templateRef may be this document's."""
    holders = [holder for call in calls for holder in (call, mapping(call.get("templateRef")))]
    return [str(holder["template"]) for holder in holders if holder.get("template") is not None]


def callers(edges: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, listed in edges.items():
        for called in dict.fromkeys(listed):
            found.setdefault(called, []).append(name)
    return found


def exit_roots(spec: JsonObject, calls: Mapping[str, Sequence[JsonObject]]) -> list[str]:
    """Return the templates that run as exit handlers or hooks, and those whose names are known only then."""
    found: list[str] = []
    for holder in (spec, *(call for listed in calls.values() for call in listed)):
        if isinstance(holder.get("onExit"), str):
            found.append(holder["onExit"])
        hooks = holder.get("hooks")
        found += called(hook for hook in (hooks.values() if isinstance(hooks, dict) else ()) if isinstance(hook, dict))
    return found


def reached(roots: Iterable[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    found: dict[str, None] = {}
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = None
            left += edges.get(name, ())
    return list(found)


def limits(template: JsonObject, calls: Iterable[JsonObject]) -> bool:
    """Tell whether a template, or one within it, limits its parallelism."""
    inner = (mapping(call.get("inline")) for call in calls)
    return any(each.get("parallelism") is not None for each in (template, *inner))


def known(names: Iterable[str], there: Iterable[str]) -> list[str]:
    """Return names of templates; one that is told only when it is called may be any."""
    return [known for name in names for known in (there if "{{" in name else (name,))]


def arrivals(
    template: JsonObject, spec: JsonObject, around: Sequence[Sequence[JsonObject]], by_name: Mapping[str, JsonObject]
) -> dict[str, list[Arrival]]:
    """Return where the input artifacts of a template come from, by name: as it is told where the template is called.

    Args:
        template: one with steps.
        spec: of the workflow, whose arguments are the entrypoint's.
        around: the calls of each template that calls it.
        by_name: all templates.
    """
    name, found = str(template.get("name")), dict[str, list[Arrival]]()
    for artifact, declared in named(template, "inputs", "artifacts").items():
        found[artifact] = [Arrival(declared, "")]
        if spec.get("entrypoint") == name:
            found[artifact] += _given(spec, artifact, {}, by_name)
        for listed in around:
            makers = {str(call["name"]): call for call in listed}
            for call in listed:
                if name in called([call]):
                    found[artifact] += _given(call, artifact, makers, by_name)
    return found


def _given(
    call: JsonObject, artifact: str, makers: Mapping[str, JsonObject], by_name: Mapping[str, JsonObject]
) -> Iterator[Arrival]:
    given = by_name_of(mapping(call.get("arguments")).get("artifacts")).get(artifact)
    if given is None:
        return
    yield Arrival(given, "")
    if source := source_of(given):
        maker = mapping(makers.get(source[0]))
        made = mapping(maker.get("inline")) or mapping(by_name.get(str(maker.get("template"))))
        if output := named(made, "outputs", "artifacts").get(source[1]):
            yield Arrival(output, source[0])


def mapping(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
