# SPDX-License-Identifier: Apache-2.0
"""A dag or steps template: the steps that it calls, and how they follow each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal

from accelchain.argo.fuse.leaf import Leaf, by_name
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.tags import ANY, mentions

JsonObject = dict[str, Any]
_WORD: Final = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_]*(?:\.[A-Za-z]+)?")
_FROM: Final = re.compile(r"\{\{\s*(?:tasks|steps)\.([-\w]+)\.outputs\.artifacts\.([^\s{}]+?)\s*\}\}")
_ORDER: Final = ("depends", "dependencies", "name")


@dataclass(frozen=True)
class Step:
    """One call."""

    name: str
    call: JsonObject
    """The task of a dag, the step of steps."""
    template: JsonObject
    """What it calls, with the defaults of all templates; empty where that is not in the document."""
    leaf: Leaf | None
    fault: Stop | None
    """Why it is no function."""

    @cached_property
    def parameters(self) -> dict[str, JsonObject]:
        """Arguments that are parameters, by name."""
        return by_name((self.call.get("arguments") or {}).get("parameters"))

    @cached_property
    def artifacts(self) -> dict[str, JsonObject]:
        """Arguments that are artifacts, by name."""
        return by_name((self.call.get("arguments") or {}).get("artifacts"))

    def source(self, artifact: str) -> tuple[str, str] | None:
        """Return step and artifact that an input artifact comes from; None: it is from elsewhere."""
        return source_of(self.artifacts.get(artifact, {}))


def source_of(argument: JsonObject) -> tuple[str, str] | None:
    """Return step and artifact that an argument hands on; None: it does not, or more than that."""
    found = _FROM.fullmatch(str(argument.get("from", "")))
    return (found[1], found[2]) if found and set(argument) <= {"name", "from"} else None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A place that an input artifact of a template may lie in."""

    artifact: JsonObject
    """What declares it: the template, an argument of a call, or the output of a step."""
    maker: str
    """The step whose output it is; empty: none."""


@dataclass(frozen=True, slots=True)
class Use:
    """A place that speaks of a step."""

    by: str
    """The step whose call it is in; empty: elsewhere in the template, or in the workflow's hooks."""
    step: str
    """ANY: it can't be told."""
    what: str


@dataclass(frozen=True)
class Scope:
    """One template with steps."""

    kind: Literal["dag", "steps"]
    name: str
    template: JsonObject
    spec: JsonObject
    """The WorkflowSpec that holds it."""
    steps: Mapping[str, Step]
    groups: Sequence[Sequence[str]] = ()
    """Of steps: names of the steps that run side by side."""
    tells_failures: bool = False
    """Its document uses ``workflow.failures``, which names nodes that failed."""
    exits: bool = False
    """It runs as an exit handler or a hook."""
    limits: Sequence[str] = field(default=())
    """Names of the templates around it, and itself, that limit parallelism."""
    arrivals: Mapping[str, Sequence[Arrival]] = field(default_factory=dict)
    """By its input artifacts, where they may come from: the template itself, and calls of it in the document."""

    @cached_property
    def uses(self) -> Sequence[Use]:
        """All places that speak of a step, order apart."""
        rest = {key: value for key, value in self.template.items() if key not in ("dag", "steps")}
        if self.kind == "dag":
            rest["dag"] = {key: value for key, value in self.template["dag"].items() if key != "tasks"}
        found = [Use("", m.step, m.what) for m in (*mentions(rest), *mentions({"hooks": self.spec.get("hooks")}))]
        for step in self.steps.values():
            call = {key: value for key, value in step.call.items() if key not in _ORDER}
            found += [Use(step.name, m.step, m.what) for m in mentions(call)]
        return found

    @cached_property
    def before(self) -> Mapping[str, Sequence[str]]:
        """Of a dag: the words of what each step depends on, ``a`` or ``a.Succeeded``."""
        return {name: words_of(step.call) for name, step in self.steps.items()}

    @cached_property
    def after(self) -> Mapping[str, Sequence[str]]:
        """Of a dag: the names of the steps that depend on each."""
        found: dict[str, list[str]] = {name: [] for name in self.steps}
        for name, words in self.before.items():
            for word in dict.fromkeys(word.partition(".")[0] for word in words):
                found.setdefault(word, []).append(name)
        return found

    def follows(self, second: Step) -> str | None:
        """Return the one step that another one follows; None: there is none, or several."""
        if self.kind == "dag":
            words = self.before[second.name]
            name = words[0].partition(".")[0] if len(words) == 1 else ""
            return name if name in self.steps else None
        at = next(i for i, group in enumerate(self.groups) if second.name in group)
        alone = at > 0 and len(self.groups[at]) == len(self.groups[at - 1]) == 1
        return self.groups[at - 1][0] if alone else None

    @cached_property
    def _uses_of(self) -> Mapping[str, Sequence[Use]]:
        """The places by the step that they speak of, ANY too."""
        found: dict[str, list[Use]] = {}
        for use in self.uses:
            found.setdefault(use.step, []).append(use)
        return found

    def mentioned(self, step: str, but: Sequence[str]) -> Iterator[Use]:
        """Yield the places that (may) speak of a step, but those in calls of some."""
        found = (*self._uses_of.get(step, ()), *self._uses_of.get(ANY, ()))
        return (use for use in found if use.by not in but)


def words_of(task: JsonObject) -> list[str]:
    """Return the words of what a task depends on, without operators; a word that is there twice counts once."""
    depends = task.get("depends")
    if isinstance(depends, str) and depends.strip():
        return list(dict.fromkeys(_WORD.findall(depends)))
    listed = task.get("dependencies")
    return [str(name) for name in listed] if isinstance(listed, list) else []


@dataclass(frozen=True)
class Chain:
    """Steps that follow each other."""

    scope: Scope
    members: tuple[Step, ...]

    @property
    def pairs(self) -> Iterator[tuple[Step, Step]]:
        """Yield each step with its follower."""
        yield from pairwise(self.members)

    @cached_property
    def names(self) -> list[str]:
        """The steps' names."""
        return [member.name for member in self.members]

    def leaves(self) -> Iterator[tuple[Step, Leaf]]:
        """Yield steps with what they are; rule 1 is for those that are nothing."""
        for member in self.members:
            if member.leaf is not None:
                yield member, member.leaf
