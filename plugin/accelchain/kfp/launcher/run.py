# SPDX-License-Identifier: Apache-2.0
"""``run``: a DataFlow is made, followed to its end, and what it gave is handed to KFP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from accelchain.kfp.core.flow import ValueProblem, spec_of
from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.addresses import addresses, whole
from accelchain.kfp.launcher.answers import explained
from accelchain.kfp.launcher.claim import claim, flow_of, kept, removed, undone
from accelchain.kfp.launcher.errors import FAILED, SUCCEEDED, WRONG_INPUT, LaunchError
from accelchain.kfp.launcher.laptop import placed_here
from accelchain.kfp.launcher.lines import Lines, complain
from accelchain.kfp.launcher.outcome import put, write
from accelchain.kfp.launcher.place import Place, store_config
from accelchain.kfp.launcher.task import Task, parameter_values
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.kinds import COMPUTE_RESOURCE

JsonObject = dict[str, Any]

_REMOVAL_SECONDS = 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One task."""

    payload: Payload
    task: Task
    here: Place
    lines: Lines
    started: float
    """``time.monotonic()`` of the process' begin."""
    ready_timeout: float | None
    """Seconds within which the flow has to be running; None: as long as it takes."""
    run_timeout: float | None

    async def whole(self) -> int:
        """Run the flow to its end, and return the exit code.

        Raises:
            LaunchError: it can't be made, or did not end as it has to.
            asyncio.CancelledError: we are to end; the flow is deleted.
        """
        flow = await self._flow()
        creation = asyncio.create_task(claim(self.here.client, flow, self.lines.say, keep_ended=True))
        work = asyncio.create_task(self._followed(creation))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # First of all: KFP's own launcher is dead by now, and the container ends within a second.
            if not self.here.passing:
                await self._deleted(undone(self.here.client, flow, creation), flow["metadata"]["name"])
            for task in (work, creation):
                task.cancel()
            await asyncio.gather(work, creation, return_exceptions=True)
            raise

    async def _flow(self) -> JsonObject:
        try:
            store = None if self.here.local else await store_config(self.here, self.lines.say)
            folder = Path.cwd() if self.here.local else None
            inputs, outputs = addresses(self.payload, self.task, store, folder)
            spec = whole(spec_of(self.payload, self.task.values, inputs, outputs), folder)
            if self.here.passing:
                spec, notes = placed_here(spec, (await self.here.client.list(COMPUTE_RESOURCE))[0])
                for note in notes:
                    self.lines.say(note)
        except ValueProblem as error:
            raise LaunchError(str(error), WRONG_INPUT) from None
        except ApiError as error:
            raise explained(error, self.here.namespace) from None
        if self.here.local:
            for artifact in self.task.outputs.values():
                Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
        name = self.here.identity.flow_name(self.payload.name)
        return flow_of(name, self.here.namespace, spec, self.here.identity, held=True)

    async def _followed(self, creation: asyncio.Task[JsonObject]) -> int:
        made = await asyncio.shield(creation)
        # Here: the flow is made before any of it is needed.
        from accelchain.cli.follow import Follower
        from accelchain.cli.record import RunRecord
        from accelchain.kfp.launcher.figures import last_document
        from accelchain.kfp.launcher.logs import followed

        meta = made["metadata"]
        record = RunRecord(meta["name"], meta["namespace"])
        # In a cluster the worker's own figures need the flow's Secret, which pipelines have no business to read.
        follower = Follower(self.here.client, record, self.lines, self.started, streamed=self.here.local)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(kept(self.here.client, made, self.here.identity))
            if not self.here.passing:
                await stack.enter_async_context(followed(self.here.client, made, self.lines.say))
            follower.saw({**made, "kind": "DataFlow"})
            try:
                await self._until_end(follower, record)
                if document := await last_document(self.here.client, record):
                    record.add_sample(document, time.monotonic() - self.started)
            except ApiError as error:
                raise explained(error, meta["namespace"]) from None
        with TemporaryDirectory() as folder:
            return self._finish(record, await self._copies(record, Path(folder)))

    async def _until_end(self, follower: Any, record: Any) -> None:
        following = asyncio.create_task(follower.until_end(self.run_timeout))
        try:
            if self.ready_timeout is not None:
                await self._until_running(following, record, self.ready_timeout)
            still_there = await following
        except TimeoutError:
            why = f"; it waits: {record.waiting}" if record.waiting else ""
            await self._remove(record.flow)
            raise LaunchError(f"DataFlow {record.name} did not end within {self.run_timeout:g} s{why}") from None
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if not still_there:
            raise LaunchError(f"DataFlow {record.name} was deleted while it ran.")

    async def _until_running(self, following: asyncio.Task[bool], record: Any, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not following.done() and record.status.get("phase") not in ("Running", "Succeeded", "Failed", "Refused"):
            if time.monotonic() > end:
                why = record.waiting or "nobody has taken it up"
                await self._remove(record.flow)
                raise LaunchError(f"DataFlow {record.name} was not running after {timeout:g} s: {why}")
            await asyncio.sleep(0.1)

    async def _copies(self, record: Any, folder: Path) -> Mapping[str, Path]:
        """Return files of this machine for results that the report shows, by address."""
        if self.here.local or "report" not in self.payload.pages or record.status.get("phase") != "Succeeded":
            return {}
        from accelchain.kfp.launcher.results import copies

        return await copies(self.here.client, record.flow, folder, self.lines.say)

    def _finish(self, record: Any, copies: Mapping[str, Path]) -> int:
        """Write what KFP is told, and say how it ended."""
        end = record.end or {"type": "Unknown", "reason": "", "message": "it did not end"}
        good = end["type"] == "Succeeded"
        self.lines.placement(record)
        metadata = self._pages(record, copies)
        values: dict[str, Any] = {}
        try:
            if good:
                values = parameter_values(self.payload, self.task, record.flow)
        finally:
            write(self.task, values, metadata)
        if not good:
            sentence = str(end.get("message") or "no more is known")
            refused = end["type"] == "Accepted" or end["reason"] == "InvalidInput"
            complain(f"{end['reason']}: {sentence}")
            return WRONG_INPUT if refused else FAILED
        self.lines.say(f"{record.name} succeeded: {record.frames} frames, {record.frames_per_second:.1f} frames/s")
        return SUCCEEDED

    def _pages(self, record: Any, copies: Mapping[str, Path]) -> dict[str, JsonObject]:
        from accelchain.kfp.launcher import pages  # not needed before the end

        made: dict[str, JsonObject] = {
            place["artifact"]: {"frames": record.frames}
            for place in self.payload.outputs.values()
            if "artifact" in place
        }
        for kind, name in self.payload.pages.items():
            artifact = self.task.outputs.get(name)
            if artifact is None:
                continue
            if kind == "metrics":
                made[name] = dict(pages.metrics(record))
                continue
            path = Path(artifact.path)
            text = pages.page(record, path, copies) if kind == "report" else pages.summary(record)
            try:
                put(path, text)
            except OSError as error:  # a run that succeeded does not fail for its page
                self.lines.say(f"{path} can't be written: {error.strerror}")
        return made

    async def _remove(self, flow: JsonObject) -> None:
        meta = flow["metadata"]
        await self._deleted(removed(self.here.client, meta["name"], meta["namespace"], meta["uid"]), meta["name"])

    async def _deleted(self, deletion: Coroutine[Any, Any, None], name: str) -> None:
        try:
            async with asyncio.timeout(_REMOVAL_SECONDS):
                await deletion
        except (TimeoutError, ApiError) as error:
            self.lines.say(f"DataFlow {name} could not be deleted ({error}); the operators end it in a minute")
