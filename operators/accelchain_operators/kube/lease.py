# SPDX-License-Identifier: Apache-2.0
"""Leader election by a coordination.k8s.io/v1 Lease: does what ``election`` decides, and holds what it won."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import NoReturn

from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient
from accelchain_operators.kube.election import Create, LeaseOptions, Observation, Record, Take, Wait, decide, observe
from accelchain_operators.kube.events import micro_time
from accelchain_operators.kube.follow import Changed, Listed, follow
from accelchain_operators.kube.kinds import LEASE
from accelchain_operators.kube.meter import Meter

logger = logging.getLogger(__name__)

RELEASE_TIMEOUT = 0.7
"""Seconds that giving a Lease back may take: the process has been told to end."""

REFUSED_PATIENCE = 10.0
"""Seconds that a refusal (403) is put up with: an API server that restarts knows no Roles for some seconds."""
HELD_UP = "this process was held up"


class LeaseLostError(Exception):
    """This process leads no more, and must not write again."""


def boot_time() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def new_identity() -> str:
    """Return a name for this process that no other process ever has."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"


class Elector:
    """One Lease, as one replica sees it: ``acquire``, ``hold`` until cancelled, ``release``.

    Args:
        client: The API; a client of its own, so that renewals don't queue behind other calls.
        namespace: Where the Lease is.
        name: Its name.
        identity: Who we are; no other process may have it.
        options: Times.
        clock: Seconds, monotonic.
        meter: Told whether we lead.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        options: LeaseOptions,
        clock: Callable[[], float] = boot_time,
        meter: Meter | None = None,
    ) -> None:
        self.name = name
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._options = options
        self._clock = clock
        self._meter = meter or Meter()
        self._seen: Observation | None = None
        self._changed = asyncio.Event()
        self._asked = 0.0
        self._good_until: float | None = None
        self._failure = HELD_UP
        self._refused_since: float | None = None

    def check(self) -> None:
        """Return if it is certain that nobody else leads. Called before every write.

        A process that was frozen wakes up in the middle of its work: no timer has told it yet what time it is.

        Raises:
            LeaseLostError: the Lease was not renewed in time.
        """
        if self._good_until is None or self._clock() >= self._good_until:
            raise LeaseLostError(f"the Lease {self._whole_name} was not renewed in time: {self._failure}")

    async def acquire(self) -> None:
        """Wait until we lead.

        Raises:
            ApiError: the API refuses us the Lease (403).
        """
        self._meter.leads(self.name, False)
        watch = asyncio.create_task(self._watch(), name=f"watch of Lease {self.name}")
        campaign = asyncio.create_task(self._campaign(), name=f"campaign for Lease {self.name}")
        try:
            done, _ = await asyncio.wait({watch, campaign}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watch.cancel()
            campaign.cancel()
            await asyncio.gather(watch, campaign, return_exceptions=True)
        logger.info("leading: the Lease %s is ours", self._whole_name)
        self._meter.leads(self.name, True)

    async def hold(self) -> NoReturn:
        """Renew the Lease until cancelled.

        Raises:
            LeaseLostError: it was not renewed in time, or somebody else has it.
        """
        try:
            while True:
                await self._sleep_until(self._asked + self._options.retry_period)
                self.check()
                await self._renew()
        finally:
            self._meter.leads(self.name, False)

    async def release(self) -> None:
        """Give the Lease back, if we lead, so that another takes over at once. Stop all work before."""
        record = self._seen.record if self._seen is not None else None
        if self._good_until is None or self._clock() >= self._good_until:
            return
        # After a loss the record may be that of the next leader.
        if record is None or record.holder != self._identity:
            return
        self._good_until = None
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                # One second: nobody has to wait for the end of a Lease that has no holder.
                await self._patch(record, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except (ApiError, TimeoutError) as error:
            logger.warning(
                "the Lease %s was not given back, others wait for its end: %s", self._whole_name, error or "no answer"
            )
        else:
            logger.info("the Lease %s was given back", self._whole_name)

    @property
    def _whole_name(self) -> str:
        return f"{self._namespace}/{self.name}"

    async def _watch(self) -> None:
        selector = f"metadata.name={self.name}"
        async for told in follow(self._client, LEASE, self._namespace, field_selector=selector):
            match told:
                case Listed(objects):
                    self._see(objects[0] if objects else None)
                case Changed(lease):
                    self._see(lease)
                case _:
                    self._see(None)

    def _see(self, lease: JsonObject | None) -> None:
        self._seen = observe(self._seen, Record.of(lease) if lease else None, self._clock())
        self._changed.set()

    async def _campaign(self) -> None:
        told = ""
        while True:
            self._changed.clear()
            if self._seen is None:
                await self._changed.wait()
                continue
            action = decide(self._seen, self._identity, self._clock())
            if isinstance(action, Wait):
                holder = self._seen.record.holder if self._seen.record else ""
                if holder != told:
                    logger.info("standing by: %s holds the Lease %s", holder, self._whole_name)
                    told = holder
                await self._change_within(action.seconds)
            elif await self._write(action):
                return
            elif not self._changed.is_set():
                await self._change_within(self._options.retry_period)

    async def _renew(self) -> None:
        """Try once, and once more where the Lease is another version than we know: an answer of ours got lost."""
        for _ in range(2):
            before = self._seen
            record = before.record if before else None
            if record is not None and record.holder not in ("", self._identity):
                raise LeaseLostError(f"the Lease {self._whole_name} is held by {record.holder} now")
            if await self._write(Take(record) if record else Create()) or self._seen is before:
                return

    async def _write(self, action: Create | Take) -> bool:
        """Write our name into the Lease; False where somebody was quicker, or the API does not answer."""
        now, asked = micro_time(time.time()), self._clock()
        self._asked = asked
        try:
            async with asyncio.timeout(self._patience()):
                self._see(await self._put(action, now))
        except TimeoutError:
            self._failed("no answer")
            return False
        except ApiError as error:
            if error.code == 409 or (error.code == 404 and isinstance(action, Take)):
                await self._read()
                return False
            if not error.transient and self._is_refused_for_long():
                raise
            self._failed(str(error))
            return False
        self._refused_since = None
        self._good_until, self._failure = asked + self._options.renew_deadline, HELD_UP
        return True

    async def _put(self, action: Create | Take, now: str) -> JsonObject:
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._options.duration,
            "renewTime": now,
        }
        if isinstance(action, Create):
            meta = {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/name": "accelchain", "app.kubernetes.io/component": "leader-election"},
            }
            spec |= {"acquireTime": now, "leaseTransitions": 0}
            lease = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}
            return await self._client.create(LEASE, lease)
        if action.record.holder != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": action.record.transitions + 1}
        return await self._patch(action.record, spec)

    async def _patch(self, record: Record, spec: JsonObject) -> JsonObject:
        """Change the Lease if it is still that version; ApiError 409 where it is not."""
        change = {"metadata": {"resourceVersion": str(record.version)}, "spec": spec}
        return await self._client.patch(LEASE, self.name, self._namespace, change)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._patience()):
                self._see(await self._client.get(LEASE, self.name, self._namespace))
        except TimeoutError:
            self._failed("no answer")
        except ApiError as error:
            if error.code == 404:
                self._see(None)
            else:
                self._failed(str(error))

    def _is_refused_for_long(self) -> bool:
        """Tell whether a standby has been refused for long; a leader just does not lead any more in the end."""
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
        return self._good_until is None and now - self._refused_since >= REFUSED_PATIENCE

    def _patience(self) -> float:
        """Return how long a call may take (s): a second try must be possible, and leadership not outlived."""
        half = self._options.renew_deadline / 2
        return half if self._good_until is None else min(half, self._good_until - self._clock())

    def _failed(self, why: str) -> None:
        self._failure = why
        logger.warning("the Lease %s was not written: %s", self._whole_name, why)

    async def _sleep_until(self, due: float) -> None:
        due = due if self._good_until is None else min(due, self._good_until)
        await asyncio.sleep(max(0.0, due - self._clock()))

    async def _change_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass  # that much time has passed: what is known of the Lease means something else now
