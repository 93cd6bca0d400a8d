# SPDX-License-Identifier: Apache-2.0
"""Which templates of a document call which, what is around each, and where its input artifacts come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from accelchain.argo.fuse.leaf import by_name, named
from accelchain.argo.fuse.scope import Arrival, source_of

JsonObject = dict[str, Any]


class Around:
    """The calls of one document."""

    def __init__(self, spec: JsonObject, templates: Mapping[str, JsonObject]) -> None:
        """Prepare.

        Args:
            spec: of the workflow.
            templates: by name, with the defaults of all.
        """
        self._spec = spec
        self._templates = templates
        self._calls = {name: list(_all_calls(template)) for name, template in templates.items()}
        called = {name: self._known(_called(listed)) for name, listed in self._calls.items()}
        self._callers: dict[str, list[str]] = {}
        for name, listed in called.items():
            for each in dict.fromkeys(listed):
                self._callers.setdefault(each, []).append(name)
        self.exits = frozenset(_reached(self._known(self._exit_roots()), called))
        """Templates that run as exit handlers or hooks, or within them."""
        self._limited = {name for name in templates if self._limits(name)}

    def limits(self, name: str) -> Sequence[str]:
        """Return the templates around one, and itself, that limit parallelism."""
        return [each for each in _reached([name], self._callers) if each in self._limited]

    def arrivals(self, name: str) -> dict[str, list[Arrival]]:
        """Return where the input artifacts of a template come from, as it is told where the template is called."""
        found: dict[str, list[Arrival]] = {}
        for artifact, declared in named(self._templates[name], "inputs", "artifacts").items():
            found[artifact] = [Arrival(declared, "")]
            if self._spec.get("entrypoint") == name:
                found[artifact] += self._given(self._spec, artifact, ())
            for caller in self._callers.get(name, ()):
                for call in self._calls[caller]:
                    if name in _called([call]):
                        found[artifact] += self._given(call, artifact, self._calls[caller])
        return found

    def _given(self, call: JsonObject, artifact: str, beside: Iterable[JsonObject]) -> Iterator[Arrival]:
        given = by_name(mapping(call.get("arguments")).get("artifacts")).get(artifact)
        if given is None:
            return
        yield Arrival(given, "")
        if source := source_of(given):
            maker = next((other for other in beside if other["name"] == source[0]), {})
            made = mapping(maker.get("inline")) or mapping(self._templates.get(str(maker.get("template"))))
            if output := named(made, "outputs", "artifacts").get(source[1]):
                yield Arrival(output, source[0])

    def _known(self, names: Iterable[str]) -> list[str]:
        """Return names of templates; one that holds a variable may be any."""
        return [each for name in names for each in (self._templates if "{{" in name else (name,))]

    def _exit_roots(self) -> list[str]:
        found: list[str] = []
        for holder in (self._spec, *(call for listed in self._calls.values() for call in listed)):
            if isinstance(holder.get("onExit"), str):
                found.append(holder["onExit"])
            found += _called(hook for hook in mapping(holder.get("hooks")).values() if isinstance(hook, dict))
        return found

    def _limits(self, name: str) -> bool:
        inner = (mapping(call.get("inline")) for call in self._calls[name])
        return any(each.get("parallelism") is not None for each in (self._templates[name], *inner))


def calls_of(template: JsonObject) -> Iterator[JsonObject]:
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


def mapping(value: Any) -> JsonObject:
    """Return a mapping; an empty one for all else."""
    return value if isinstance(value, dict) else {}


def _all_calls(template: JsonObject) -> Iterator[JsonObject]:
    """Yield the calls of a template, and those of the templates within them (inline)."""
    for call in calls_of(template):
        yield call
        yield from _all_calls(mapping(call.get("inline")))


def _called(calls: Iterable[JsonObject]) -> list[str]:
    """Return the names of called templates; one of a templateRef may be this document's."""
    holders = [holder for call in calls for holder in (call, mapping(call.get("templateRef")))]
    return [str(holder["template"]) for holder in holders if holder.get("template") is not None]


def _reached(roots: Iterable[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    found: dict[str, None] = {}
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = None
            left += edges.get(name, ())
    return list(found)
