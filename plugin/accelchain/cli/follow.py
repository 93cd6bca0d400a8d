# SPDX-License-Identifier: Apache-2.0
"""Follows a DataFlow to its end: its resources by watches, its figures by the worker's status stream."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from accelchain.cli.api_errors import right_of
from accelchain.cli.record import RunRecord
from accelchain.cli.watching import list_and_watch, owned_by
from accelchain.cli.workers import opened
from accelchain_operators.kube.client import ApiError, KubeClient, ResourceType
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.kinds import DATA_FLOW, POD, WB_CONNECTION, WB_FUNCTION
from accelchain_operators.reconcile.names import FLOW_LABEL, label_value

if TYPE_CHECKING:
    from accelchain.cli.display import Display

JsonObject = dict[str, Any]
OPERATORS_DEADLINE = 15.0
"""Seconds within which operators that run take a DataFlow up."""
PATIENCE = 120.0
"""Seconds for which an API that is away is waited for: the flow runs on without it."""
FIGURES_DEADLINE = 5.0
"""Seconds that a running worker may take to show its first figures before it is told that there are none."""
_INTERVAL = "0.25"
"""Seconds between two documents of the worker."""
_PAUSE = 0.1
"""Seconds before a worker's stream is tried again."""

log = logging.getLogger(__name__)


class Follower:
    """Fills a record and tells a display about it."""

    def __init__(
        self,
        client: KubeClient,
        record: RunRecord,
        display: Display,
        started: float,
        connection: Connection | None = None,
        streamed: bool = True,
    ) -> None:
        """Follow the flow that ``record`` names.

        Args:
            client: the API that holds the flow.
            record: what is filled.
            display: who is told.
            started: ``time.monotonic()`` of the run's begin: all seconds count from here.
            connection: what workers' ports are forwarded through; None: workers are on this machine.
            streamed: figures come from the worker; else from the DataFlow's status alone, every few seconds.
        """
        self._client = client
        self._record = record
        self._display = display
        self._started = started
        self._connection = connection
        self._uid = ""
        self._waiting = ""
        self._failed_attempt = 0
        self._streamed = streamed
        self._figures_by_status = not streamed
        self._ended = asyncio.Event()
        self._deleted = False

    def saw(self, obj: JsonObject) -> None:
        """Note an object that is known already (one that was just created)."""
        appearance = self._record.see(obj, self._seconds())
        if appearance:
            self._display.appeared(appearance)
        if obj["kind"] == "DataFlow":
            self._uid = obj["metadata"]["uid"]
            self._look()

    async def until_end(self, timeout: float | None = None) -> bool:
        """Return when the flow has ended; False if it was deleted by somebody.

        Raises:
            TimeoutError: it had not ended after ``timeout`` seconds.
            ApiError: the API refuses us, or does not answer for long.
        """
        kinds = (DATA_FLOW, WB_FUNCTION, WB_CONNECTION, POD)
        tasks = [asyncio.create_task(self._watch(kind)) for kind in kinds]
        tasks.append(asyncio.create_task(self._miss_operators()))
        if self._streamed:
            tasks.append(asyncio.create_task(self._figures()))
        ended = asyncio.create_task(self._ended.wait())
        try:
            async with asyncio.timeout(timeout):
                # None of the others returns before the flow has ended: one that is done has failed.
                done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (ended, *tasks):
                task.cancel()
            await asyncio.gather(ended, *tasks, return_exceptions=True)
        return not self._deleted

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _say(self, text: str) -> None:
        self._display.say(f"{self._seconds():6.2f} s  {text}")

    def _look(self) -> None:
        """Tell what holds the flow up and what attempts failed, and see whether this is the end."""
        for failure in self._record.status.get("failures", ()):
            if failure["attempt"] > self._failed_attempt:
                self._failed_attempt = failure["attempt"]
                self._say(f"attempt {failure['attempt']} failed: {failure['reason']}: {failure.get('message', '')}")
        waiting, self._waiting = self._waiting, self._record.waiting
        if self._waiting and self._waiting != waiting:
            self._say(f"waiting: {self._waiting}")
        if self._figures_by_status:
            self._sample_status()
        if self._record.end:
            self._ended.set()

    async def _watch(self, kind: ResourceType) -> None:
        """See objects of a kind until the flow has ended."""
        name = self._record.name
        selectors = (
            {"field_selector": f"metadata.name={name}"}
            if kind is DATA_FLOW
            else {"label_selector": f"{FLOW_LABEL}={label_value(name)}"}
        )
        try:
            async for event in list_and_watch(
                self._client,
                kind,
                self._record.namespace,
                patience=PATIENCE,
                on_silence=self._silence if kind is DATA_FLOW else None,
                seen=[self._record.flow] if kind is DATA_FLOW and self._record.flow else [],
                **selectors,
            ):
                meta = event.object["metadata"]
                if meta["uid"] != self._uid if kind is DATA_FLOW else not owned_by(event.object, self._uid):
                    continue
                if event.type != "DELETED":
                    self.saw({**event.object, "kind": kind.kind})
                elif kind is DATA_FLOW:
                    self._deleted = True
                    self._ended.set()
        except ApiError as error:
            if error.code != 403 or kind is DATA_FLOW:
                raise
            self._say(f"{kind.plural} are not shown: you may not {right_of(error)}")
            await self._ended.wait()

    def _silence(self, error: ApiError) -> None:
        self._say(f"waiting: {error.message}; the flow runs on meanwhile")

    async def _miss_operators(self) -> None:
        """Say once that nobody takes the flow up."""
        await asyncio.sleep(OPERATORS_DEADLINE)
        if not self._record.status:
            self._say(
                f"nobody has taken up DataFlow {self._record.name} for {OPERATORS_DEADLINE:.0f} s: accelchain's "
                "operators seem not to run there; ask the cluster's administrator. Still waiting …"
            )
        await self._ended.wait()

    async def _figures(self) -> None:
        """Read the worker's stream as soon as the DataFlow says where it is; try again while the flow runs.

        Without it the figures are those of the DataFlow's status; why is told once.
        """
        running_since: float | None = None
        while True:
            worker = next(iter(self._record.status.get("workers", ())), None)
            if worker and worker.get("address"):
                try:
                    await self._read_stream(worker)
                    running_since = None
                except (ApiError, aiohttp.ClientError, OSError, ValueError) as error:
                    log.info("the worker's figures: %r", error)  # it is not up yet, or gone: the watch tells which
                    if isinstance(error, ApiError) and error.code == 403:
                        self._show_status(f"you may not {right_of(error)}")
                        await self._ended.wait()
                    if self._record.status.get("phase") == "Running":
                        running_since = running_since or self._seconds()
                        if not self._record.samples and self._seconds() - running_since > FIGURES_DEADLINE:
                            self._show_status(f"its worker can't be reached ({error})")
            await asyncio.sleep(_PAUSE)

    def _show_status(self, why: str) -> None:
        """Take the figures from the DataFlow's status from now on, and say why."""
        if not self._figures_by_status:
            self._say(f"no live figures, only the DataFlow's own: {why}")
            self._figures_by_status = True

    async def _read_stream(self, worker: JsonObject) -> None:
        async with opened(self._client, self._connection, self._record.namespace, worker) as door:
            live = worker.get("live") or []
            if live and not door.passing:
                self._record.live = f"{door.base}{live[0]}?token={door.token}"
            elif live:
                self._record.live = f"accelchain live {self._record.name} -n {self._record.namespace}"
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {door.token}"}) as session,
                session.get(f"{door.base}/stream", params={"interval": _INTERVAL}) as response,
            ):
                response.raise_for_status()
                async for line in response.content:
                    document = json.loads(line)
                    self._figures_by_status = False
                    self._record.add_sample(document, self._seconds())
                    self._display.figures(self._record)

    def _sample_status(self) -> None:
        """Show the figures that the operators write into the DataFlow every few seconds."""
        status = self._record.status
        progress = status.get("progress")
        if not progress or status.get("phase") != "Running":
            return
        if progress.items() <= self._record.document.items():
            return
        states = self._record.appearances["DataFlow", self._record.name].states
        began = next(seconds for seconds, state in states if state == "Running")
        document = {
            "phase": "Running",
            "functions": [],
            "edges": status.get("edges", []),
            "seconds": self._seconds() - began,
            **progress,
        }
        self._record.add_sample(document, self._seconds())
        self._display.figures(self._record)
