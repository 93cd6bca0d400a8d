# SPDX-License-Identifier: Apache-2.0
"""The operators' table of contents: every watched kind, one short handler each.

kopf brings the events and nothing more; ``kube/dispatch.py`` tells which controllers look at what,
``kube/operators.py`` which controllers there are, ``reconcile/`` what they decide.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import kopf

from accelchain.api.common import GROUP, VERSION
from accelchain_operators.kube import kinds
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.operators import Operators
from accelchain_operators.kube.sync import Sync
from accelchain_operators.kube.transport import login, run_kopf, until_set

WORKER_IMAGE = "accelchain-worker"


def register(registry: kopf.OperatorRegistry, sync: Sync) -> None:
    """Say what is watched. Every handler hands the object on; the comment says who looks at it then."""

    @kopf.on.event(GROUP, VERSION, "dataflows", registry=registry)
    async def data_flow(event: Any, **_: Any) -> None:  # dataflow, scheduler
        sync.event(kinds.DATA_FLOW, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "functionchains", registry=registry)
    async def function_chain(event: Any, **_: Any) -> None:  # chain; flows that wait, scheduler
        sync.event(kinds.FUNCTION_CHAIN, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "functiontypes", registry=registry)
    async def function_type(event: Any, **_: Any) -> None:  # chain (all chains and types); flows that wait, scheduler
        sync.event(kinds.FUNCTION_TYPE, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "connectiontypes", registry=registry)
    async def connection_type(event: Any, **_: Any) -> None:  # flows that wait, scheduler
        sync.event(kinds.CONNECTION_TYPE, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "schedulingstrategies", registry=registry)
    async def scheduling_strategy(event: Any, **_: Any) -> None:  # flows that wait, scheduler
        sync.event(kinds.SCHEDULING_STRATEGY, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "computeresources", registry=registry)
    async def compute_resource(event: Any, **_: Any) -> None:  # flows that wait, scheduler
        sync.event(kinds.COMPUTE_RESOURCE, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "wbfunctions", registry=registry)
    async def wb_function(event: Any, **_: Any) -> None:  # the flow that owns it
        sync.event(kinds.WB_FUNCTION, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, "wbconnections", registry=registry)
    async def wb_connection(event: Any, **_: Any) -> None:  # the flow that owns it
        sync.event(kinds.WB_CONNECTION, event["type"], event["object"])

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod(event: Any, **_: Any) -> None:  # the flow that owns it
        sync.event(kinds.POD, event["type"], event["object"])

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    async def config_map(event: Any, **_: Any) -> None:  # the flow that owns it
        sync.event(kinds.CONFIG_MAP, event["type"], event["object"])


def run_operators(
    client_factory: Callable[[], HttpClient],
    stop: threading.Event,
    ready: threading.Event,
    *,
    worker_image: str = "",
) -> None:
    """Run all operators in an event loop of their own until ``stop`` is set. Blocks: give it a thread.

    Args:
        client_factory: Makes the client; kopf logs in as it does.
        stop: Ends the operators within a few seconds.
        ready: Set once all objects are known and changes are seen.
        worker_image: Image of worker pods; ACCELCHAIN_WORKER_IMAGE, else ``accelchain-worker``, where empty.

    Raises:
        ApiError: the API does not answer, or does not know our kinds.
        RuntimeError: a part of the operators ended by itself.
    """
    image = worker_image or os.environ.get("ACCELCHAIN_WORKER_IMAGE") or WORKER_IMAGE
    asyncio.run(_run(client_factory(), stop, ready, image))


async def _run(client: HttpClient, stop: threading.Event, ready: threading.Event, worker_image: str) -> None:
    operators = Operators(client, worker_image)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login(client.connection, operators.sync.relist))
    register(registry, operators.sync)
    kopf_ready, kopf_stop = asyncio.Event(), asyncio.Event()
    try:
        await operators.sync.first()
        parts = {
            asyncio.create_task(operators.run(), name="operators"),
            asyncio.create_task(until_set(stop), name="stop"),
        }
        watches = asyncio.create_task(run_kopf(registry, kopf_ready, kopf_stop), name="watches")
        announce = asyncio.create_task(_announce(kopf_ready, ready), name="ready")
        try:
            done, _ = await asyncio.wait({*parts, watches}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # kopf cancels every task that is younger than itself, the streams among them: it goes last.
            for task in (*parts, announce):
                task.cancel()
            await asyncio.gather(*parts, announce, return_exceptions=True)
            kopf_stop.set()
            await asyncio.gather(watches, return_exceptions=True)
    finally:
        await client.close()


async def _announce(kopf_ready: asyncio.Event, ready: threading.Event) -> None:
    await kopf_ready.wait()
    ready.set()
