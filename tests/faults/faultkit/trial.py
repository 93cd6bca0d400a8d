# SPDX-License-Identifier: Apache-2.0
"""A trial: flows drawn from a seed, faults drawn from it, and a verdict on every flow."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from faultkit.chaos import Chaos
from faultkit.kubelet import Ended
from faultkit.operators import Process
from faultkit.oracle import Record
from faultkit.scenario import Act, Case, draw
from faultkit.verdict import History, problems
from faultkit.workers import Publication
from faultkit.world import World

LEASE = 10
"""Seconds. A machine that is busy with 200 flows renews none of three seconds."""
FOR_EVER = 1e6
"""Seconds. The trial as a whole has a deadline: some flow or other has to end now and then."""
TOLERATED_DESCRIPTORS = 8
IDLE_CONNECTION = 25.0
"""Seconds after which connections to the API that nobody uses are closed for sure."""


@dataclass
class Report:
    """How a trial went."""

    seed: int
    flows: int
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    publications: int = 0
    refused_grants: int = 0
    revisions: int = 0
    most_booked: int = 0
    kills: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    """When (s) each stage was over."""

    def line(self) -> str:
        """Return all of it in a line."""
        return (
            f"seed {self.seed}: {self.flows} flows, {self.attempts} attempts, {self.seconds:.0f} s "
            f"({', '.join(f'{stage} {seconds:.1f}' for stage, seconds in self.stages.items())}), "
            f"ends {dict(sorted(self.phases.items()))}, faults {dict(sorted(self.faults.items()))}, "
            f"{self.kills} operators killed, {self.publications} publications, {self.refused_grants} grants refused, "
            f"{self.revisions} revisions looked at, {self.most_booked} places booked at most, "
            f"{len(self.problems)} problems"
        )


class Trial:
    """One trial.

    Args:
        seed: Decides which flows there are and what goes wrong, though not to the millisecond when.
        flows: How many.
        seconds: How long things go wrong.
        replicas: Operators of each kind; several elect a leader by Lease.
        nodes: How many.
        patience: Seconds within which some flow or other has to come to its end, after that.
        thorough: Wait until idle connections are closed, and count descriptors.
    """

    def __init__(
        self,
        seed: int,
        flows: int,
        seconds: float,
        *,
        replicas: int = 1,
        nodes: int = 3,
        patience: float = 60.0,
        thorough: bool = False,
    ) -> None:
        self.report = Report(seed, flows)
        self._seconds = seconds
        self._replicas = replicas
        self._patience = patience
        self._thorough = thorough
        rng = random.Random(seed)
        self._cases = draw(rng, flows, seconds * 0.8)
        self._world = World(random.Random(rng.random()), nodes, LEASE if replicas > 1 else 0)
        self._chaos = Chaos(self._world, random.Random(rng.random()))
        self._baseline: dict[str, int] = {}

    async def run(self) -> Report:
        """Do it."""
        begun = time.monotonic()
        async with self._world as world:
            groups = [("chain", "scheduler"), ("dataflow",)] if self._replicas == 1 else []
            groups = groups or [("chain",), *[("scheduler",), ("dataflow",)] * self._replicas]
            await world.start(*groups)
            self._mark("start", begun)
            self._baseline = {process.id: process.descriptors() for process in world.operators.running}
            chaos = asyncio.create_task(self._chaos.run(), name="chaos")
            users = [asyncio.create_task(self._user(case), name=case.name) for case in self._cases]
            await asyncio.sleep(self._seconds)
            chaos.cancel()
            await asyncio.gather(chaos, return_exceptions=True)
            await self._chaos.calm()
            try:
                await world.until_over(self._patience)
            except AssertionError as error:
                self.report.problems.append(str(error))
                for user in users:
                    user.cancel()
            for result in await asyncio.gather(*users, return_exceptions=True):
                if isinstance(result, Exception):
                    self.report.problems.append(f"{result!r}")
            self._mark("flows", begun)
            await self._judge()
            await self._clean_up()
            self._mark("rest", begun)
            self.report.problems += world.problems()
        self._mark("end", begun)
        return self.report

    def _mark(self, stage: str, begun: float) -> None:
        self.report.stages[stage] = self.report.seconds = time.monotonic() - begun

    async def _user(self, case: Case) -> None:
        """Create a flow, and do to it what its user does."""
        world = self._world
        await asyncio.sleep(case.created)
        world.create(case.name, *case.scripts, namespace=case.namespace, **case.spec)
        record = world.oracle.record(case.name)
        deletes = asyncio.create_task(self._follow_script(case, record), name=f"deletions in {case.name}")
        try:
            for act in case.acts:
                if not act.since_creation:
                    await world.until(lambda: record.begun or record.over, FOR_EVER, f"{case.name} runs")
                await asyncio.sleep(act.after)
                await self._act(case, act, record)
            await world.until(lambda: record.over, FOR_EVER, f"the end of {case.name}")
        finally:
            deletes.cancel()

    async def _act(self, case: Case, act: Act, record: Record) -> None:
        world = self._world
        if record.over:
            return
        match act.what:
            case "suspend":
                world.change(case.name, suspend=True)
                await asyncio.sleep(act.back_after)
                world.change(case.name, suspend=False)
            case "change":
                world.change(case.name, parameters={"threshold": 0.9})
            case "cancel":
                world.change(case.name, cancel=True)
            case "delete":
                world.delete(case.name)

    async def _follow_script(self, case: Case, record: Record) -> None:
        """Delete the Pods of those attempts whose script says so, when their workers run."""
        uid = record.flow["metadata"]["uid"]
        while True:
            for worker in self._world.kubelets.busy():
                if worker.flow == uid and worker.script.end in ("deleted", "drained"):
                    self._chaos.disrupt(worker.pod["metadata"]["uid"], worker.script.end == "drained")
            await asyncio.sleep(0.05)

    async def _judge(self) -> None:
        world, report = self._world, self.report
        ends: dict[str, list[Ended]] = defaultdict(list)
        for end in world.kubelets.ended:
            ends[end.flow].append(end)
        published: dict[str, list[Publication]] = defaultdict(list)
        for publication in world.server.published:
            published[publication.flow].append(publication)
        disrupted = frozenset(self._chaos.disrupted | world.kubelets.disrupted)
        by_name = {record.name: (uid, record) for uid, record in world.oracle.records.items()}
        for case in self._cases:
            if case.name not in by_name:
                continue  # it was never created: the trial was given up
            uid, record = by_name[case.name]
            history = History(ends[uid], published[uid], disrupted, self._chaos.freezes, self._chaos.blind)
            found = problems(case, record, history)
            if found:
                report.problems += found
                report.problems.append(f"  {case.name}: {_story(case, record, history)}")
            report.phases[record.status.get("phase", "none") if record.finished else "Deleted"] += 1
        report.faults = self._chaos.counts
        report.attempts = len({(end.flow, end.attempt) for end in world.kubelets.ended})
        report.publications = len(world.server.published)
        report.refused_grants = len(world.server.refused_grants)
        report.revisions, report.most_booked = world.oracle.revisions, world.oracle.most_booked
        report.kills = world.operators.killed

    async def _clean_up(self) -> None:
        """See that nothing is written at rest, and that nothing is left when all flows are deleted."""
        world, report = self._world, self.report
        try:
            await world.until_rest(20.0)
            await world.delete_everything(20.0)
        except AssertionError as error:
            report.problems.append(str(error))
        if world.left():
            report.problems.append(f"left: {world.left()[:20]}")
        for process in list(world.operators.running):
            report.problems += await self._leaks(process)

    async def _leaks(self, process: Process) -> list[str]:
        """Return what a process of operators holds though there are no flows."""
        if not process.ready.is_set():
            return []
        found = []
        if left := await process.task_names():
            found.append(f"{process.id} still runs {left}")
        before = self._baseline.get(process.id)
        if before is None or not self._thorough:
            return found
        try:
            settled = before + TOLERATED_DESCRIPTORS
            await self._world.until(lambda: process.descriptors() <= settled, IDLE_CONNECTION)
        except AssertionError:
            found.append(f"{process.id} had {before} descriptors, and has {process.descriptors()}")
        return found


def _story(case: Case, record: Record, history: History) -> str:
    """Return what is known of a flow, for whoever looks for the reason."""
    status = record.status
    conditions = {c["type"]: (c["status"], c["reason"], c["message"][:200]) for c in status.get("conditions") or ()}
    ends = [(e.attempt, e.pod, e.end, "heard" if e.heard else "unheard", e.reported) for e in history.ends]
    return (
        f"limit {case.limit} {case.mode} acts {case.acts} scripts {[s.end for s in case.scripts[:4]]} "
        f"phases {record.phases} attempt {status.get('attempt')} failures {status.get('failures')} "
        f"conditions {conditions} pods {record.pods} ends {ends} "
        f"disrupted {[p for _, p in record.pods if p in history.disrupted]} "
        f"published {[(p.attempt, p.first, p.after, p.granted) for p in history.published]}"
    )
