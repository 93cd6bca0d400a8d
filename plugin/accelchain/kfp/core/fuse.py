# SPDX-License-Identifier: Apache-2.0
"""The pass: finds chains in a pipeline, and makes one task of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from accelchain.api.function_type import FunctionType
from accelchain.kfp.core.catalogue import Catalogue
from accelchain.kfp.core.check import dangling
from accelchain.kfp.core.draft import LAUNCHER, Draft
from accelchain.kfp.core.graph import before, in_between, order
from accelchain.kfp.core.group import group
from accelchain.kfp.core.member import Member, Members
from accelchain.kfp.core.nested import nest
from accelchain.kfp.core.pipeline import ROOT, Pipeline, dags, tasks_of
from accelchain.kfp.core.report import Entry, FuseError, JsonObject, Stop

DEFAULT_IMAGE: Final = "localhost/accelchain-launcher:dev"
"""Holds ``python3 -m accelchain.kfp.launcher``; ``make images`` builds it."""


@dataclass(frozen=True, slots=True)
class Fused:
    """What the pass made of a pipeline."""

    pipeline: Pipeline
    changed: bool
    entries: tuple[Entry, ...]
    """One for each task that runs a container or an importer."""


def fuse(pipeline: Pipeline, types: Sequence[FunctionType], *, image: str = DEFAULT_IMAGE) -> Fused:
    """Make one task of each chain.

    Args:
        pipeline: as KFP compiled it; it is not changed.
        types: the functions.
        image: of the launcher's container.

    Raises:
        FuseError: a chain that was asked for can't be one task.
    """
    run = _Pass(pipeline, types, image)
    for name in [name for name, _ in dags(pipeline.spec)]:
        run.look_at(name)
    if run.problems:
        raise FuseError(run.problems)
    entries = tuple(run.entries)
    if not run.changed:
        return Fused(pipeline, False, entries)
    made = run.draft.pipeline()
    if broken := sorted(set(dangling(made.spec)) - set(dangling(pipeline.spec))):
        raise FuseError([f"{pipeline.name}: the fused pipeline would be wrong: {broken[0]} Please report this."])
    return Fused(made, True, entries)


class _Pass:
    def __init__(self, pipeline: Pipeline, types: Sequence[FunctionType], image: str) -> None:
        self._original, self._catalogue = pipeline, Catalogue(types)
        self.draft = Draft(pipeline, image)
        self.entries: list[Entry] = []
        self.problems: list[str] = []
        self.changed = False

    def look_at(self, name: str) -> None:
        """Fuse what can be fused in one graph."""
        graph = self.draft.graph(name)
        tasks = tasks_of(graph)
        members = Members(self.draft.pipeline(), self._catalogue)
        found: dict[str, Member] = {}
        stops: dict[str, Stop] = {}
        for title, task in tasks.items():
            try:
                member = members.find(title, task)
            except Stop as stop:
                stops[title] = stop
                continue
            if member is not None:
                found[title] = member
        chains = {title: chain for title, task in tasks.items() if (chain := members.chain(task))}
        whole = {title for title in tasks if members.is_marked(tasks[title]) or title in found}
        if tasks and whole == set(tasks) and not any(c["kind"] == "group" for c in chains.values()):
            if self._whole(name, found, stops, chains):
                return
            if any(chain["kind"] == "pipeline" for chain in chains.values()):
                return
        elif asked := next((title for title, chain in chains.items() if chain["kind"] == "pipeline"), None):
            outside = next(
                title for title in tasks if title not in whole or chains.get(title, {}).get("kind") == "group"
            )
            chain = chains[asked]
            self._problem(
                name,
                Stop(
                    "chain", outside, f"it is in chain '{chain['name']}' and is no function: mark it, or move it out."
                ),
            )
            return
        self._groups(name, found, stops, chains)
        self._rest(name, found, stops, chains)

    # a whole graph

    def _whole(
        self, name: str, found: Mapping[str, Member], stops: Mapping[str, Stop], chains: Mapping[str, JsonObject]
    ) -> bool:
        """Make one task of a graph; tell whether that was done."""
        asked = next((chain for chain in chains.values() if chain["kind"] == "pipeline"), None)
        nestable = name != ROOT and not any(_chooses(caller) for caller in self.draft.callers(name))
        if asked is None and not nestable:
            return False
        chain = asked or {"name": name.removeprefix("comp-"), "kind": "pipeline"}
        used = self.draft.used()
        try:
            if stop := next(iter(stops.values()), None):
                raise stop
            if nestable:
                nest(self.draft, name, found, chain, self._catalogue.types)
                into = f"component '{name.removeprefix('comp-')}' is now one task, which does"
            else:
                into = f"task '{group(self.draft, name, found, chain, self._catalogue.types)}' now does"
        except Stop as stop:
            if asked is not None:
                self._problem(name, stop)
                return False
            if not all(member.role.assumed for member in found.values()):
                self._keep_all(name, found, stops, stop)
                return True
            return False
        self._done(name, found, used, into)
        return True

    def _keep_all(self, name: str, found: Mapping[str, Member], stops: Mapping[str, Stop], reason: Stop) -> None:
        for title in (*found, *stops):
            stop = stops.get(title, reason)
            whose = "" if stop.task == title else f"task '{stop.task}': "
            self._keep(name, title, stop.rule, f"{whose}{stop.sentence}")

    # groups

    def _groups(
        self, name: str, found: dict[str, Member], stops: Mapping[str, Stop], chains: Mapping[str, JsonObject]
    ) -> None:
        """Make a task of each chain that the tasks' marks name."""
        for chain_name in dict.fromkeys(chain["name"] for chain in chains.values()):
            titles = [title for title, chain in chains.items() if chain["name"] == chain_name]
            options = chains[titles[0]]
            if other := next((title for title in titles if chains[title] != options), None):
                self._problem(name, Stop("chain", other, f"its options of chain '{chain_name}' differ from others'."))
                continue
            if stop := next((stops[title] for title in titles if title in stops), None):
                self._problem(name, stop)
                continue
            fresh = self._members(name)  # an earlier chain of this graph may feed this one
            used = self.draft.used()
            try:
                made = group(self.draft, name, {t: fresh[t] for t in titles}, options, self._catalogue.types)
            except Stop as stop:
                self._problem(name, stop)
                continue
            self._done(name, {title: found.pop(title) for title in titles}, used, f"task '{made}' now does")

    def _rest(
        self, name: str, found: Mapping[str, Member], stops: Mapping[str, Stop], chains: Mapping[str, JsonObject]
    ) -> None:
        """Fuse what functions replace, and say of the others why they stay."""
        left = {title: member for title, member in found.items() if member.role.assumed and title not in chains}
        reasons: dict[str, Stop] = {}
        while left:
            titles = self._connected(name, left)
            if len(titles) < 2:
                title = titles[0]
                reasons.setdefault(title, Stop("alone", title, "no function before it or behind it is in this graph."))
                del left[title]
                continue
            fresh, used = self._members(name), self.draft.used()
            chain = {"name": f"{titles[0]}-to-{titles[-1]}"[:40].strip("-"), "kind": "group"}
            try:
                made = group(self.draft, name, {t: fresh[t] for t in titles}, chain, self._catalogue.types)
            except Stop as stop:
                guilty = stop.task if stop.task in titles else titles[-1]
                reasons[guilty] = stop
                del left[guilty]
                continue
            self._done(name, {title: left.pop(title) for title in titles}, used, f"task '{made}' now does")
            reasons = {title: reason for title, reason in reasons.items() if title not in titles}
        dag = name.removeprefix("comp-")
        fused = {entry.task for entry in self.entries if entry.dag == dag and entry.outcome == "fused"}
        for title, task in tasks_of(self._graph_before(name)).items():
            if title in fused:
                continue
            if why := stops.get(title) or reasons.get(title):
                self._keep(name, title, why.rule, why.sentence)
            elif title in found:
                self._keep(name, title, "chain", 'it is in no chain: put it into @chain, or into `with chain("name")`.')
            elif kind := self._kind(task):
                rule = "importer" if kind == "importer" else "mark"
                self._keep(name, title, rule, f"it is no function: {kind}.")

    def _connected(self, name: str, left: Mapping[str, Member]) -> list[str]:
        """Return tasks that hand frames to each other, as many as lie together, in their order."""
        graph = self.draft.graph(name)
        waits = before(tasks_of(graph))
        ordered = [title for title in order(waits, waits) if title in left]
        feeds = {title: self._feeders(left, title) for title in ordered}
        chosen = {ordered[0]}
        for title in ordered[1:]:
            near = feeds[title] & chosen or any(title in feeds[other] for other in chosen)
            if near and in_between(waits, {*chosen, title}) is None:
                chosen.add(title)
        return [title for title in ordered if title in chosen]

    def _feeders(self, left: Mapping[str, Member], title: str) -> set[str]:
        member = left[title]
        given = {**member.parameters, **member.artifacts}
        return {
            source[field]["producerTask"]
            for port in member.role.inputs.values()
            if (source := given.get(port))
            for field in ("taskOutputArtifact", "taskOutputParameter")
            if field in source and source[field]["producerTask"] in left
        }

    # what became of tasks

    def _members(self, name: str) -> dict[str, Member]:
        members = Members(self.draft.pipeline(), self._catalogue)
        found = {}
        for title, task in tasks_of(self.draft.graph(name)).items():
            try:
                member = members.find(title, task)
            except Stop:
                continue
            if member is not None:
                found[title] = member
        return found

    def _done(self, name: str, members: Mapping[str, Member], used: set[str], into: str) -> None:
        self.changed = True
        waits = before(tasks_of(self._graph_before(name)))
        titles = order(waits, members)
        self.draft.sweep(used)
        every = ", ".join(titles)
        for title in titles:
            member = members[title]
            left_out = f" Left out: {'; '.join(member.notes)}." if member.notes else ""
            self._enter(name, title, "fused", None, f"{into} {every}.{left_out}")

    def _keep(self, name: str, title: str, rule: str, sentence: str) -> None:
        self._enter(name, title, "kept", rule, sentence)

    def _enter(self, name: str, title: str, outcome: str, rule: str | None, sentence: str) -> None:
        assert outcome in ("fused", "kept")
        dag = name.removeprefix("comp-")
        self.entries.append(Entry(self._original.name, dag, title, outcome, rule, sentence))  # type: ignore[arg-type]

    def _problem(self, name: str, stop: Stop) -> None:
        where = ".".join(part for part in (self._original.name, name.removeprefix("comp-"), stop.task) if part)
        self.problems.append(f"{where}: {stop.sentence}")

    def _graph_before(self, name: str) -> JsonObject:
        found: JsonObject = self._original.spec[ROOT] if name == ROOT else self._original.spec["components"][name]
        return found

    def _kind(self, task: JsonObject) -> str:
        component = self._original.spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            return ""
        executor = self._original.spec["deploymentSpec"]["executors"].get(component.get("executorLabel")) or {}
        if "importer" in executor:
            return "importer"
        if (executor.get("container") or {}).get("command") == LAUNCHER:
            return "it runs a DataFlow already"
        return "nothing marks it, and no function replaces its image"


def _chooses(caller: JsonObject) -> bool:
    """Tell whether a task runs its component on a condition or many times: then it stays a graph."""
    policy = caller.get("triggerPolicy") or {}
    return bool(policy) or "parameterIterator" in caller or "artifactIterator" in caller
