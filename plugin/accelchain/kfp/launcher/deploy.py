# SPDX-License-Identifier: Apache-2.0
"""``deploy`` and ``delete``: flows that outlive the task which made them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from accelchain.kfp.core.flow import ValueProblem, spec_of
from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.addresses import addresses, whole
from accelchain.kfp.launcher.answers import explained
from accelchain.kfp.launcher.claim import claim, flow_of, undone
from accelchain.kfp.launcher.errors import FAILED, SUCCEEDED, WRONG_INPUT, LaunchError
from accelchain.kfp.launcher.identity import Identity
from accelchain.kfp.launcher.lines import Lines
from accelchain.kfp.launcher.outcome import write
from accelchain.kfp.launcher.place import Place, store_config
from accelchain.kfp.launcher.task import Task, parameter_values
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.kinds import DATA_FLOW

JsonObject = dict[str, Any]

_READY_SECONDS = 900.0
_OVER = {"Failed", "Refused", "Succeeded"}


async def deploy(
    payload: Payload, task: Task, here: Place, lines: Lines, started: float, ready_timeout: float | None
) -> int:
    """Make a flow that streams, and return when it runs. It ends when somebody deletes it.

    Raises:
        LaunchError: it can't be made, or did not run in time; then it is deleted again.
    """
    if here.passing:
        raise LaunchError(
            "there is no cluster that would outlive this task: start `accelchain up`, or give a kubeconfig.",
            WRONG_INPUT,
        )
    try:
        store = None if here.local else await store_config(here, lines.say)
        folder = Path.cwd() if here.local else None
        inputs, outputs = addresses(payload, task, store, folder)
        spec = {"mode": "Stream", **whole(spec_of(payload, task.values, inputs, outputs), folder)}
    except ValueProblem as error:
        raise LaunchError(str(error), WRONG_INPUT) from None
    except ApiError as error:
        raise explained(error, here.namespace) from None
    spec.pop("ttlSecondsAfterFinished", None)
    # It outlives the Workflow: neither owner nor heartbeat, or the end of either would be its own.
    name = payload.name
    identity = Identity(f"deploy/{here.namespace}/{name}", here.identity.pod)
    flow = flow_of(name, here.namespace, spec, identity, held=False)
    creation = asyncio.create_task(claim(here.client, flow, lines.say, keep_ended=False))
    try:
        running = await _until_running(here, await asyncio.shield(creation), ready_timeout or _READY_SECONDS, lines)
    except BaseException:
        if not creation.done() or creation.cancelled() or not creation.exception():  # else nothing was made
            with contextlib.suppress(ApiError):  # what ended us is told
                await undone(here.client, flow, creation)
        raise
    values = parameter_values(payload, task, running)
    write(task, values, {})
    lines.say(f"DataFlow {name} runs" + (f": {values['endpoint']}" if values.get("endpoint") else ""))
    return SUCCEEDED


async def delete(here: Place, name: str, task: Task, payload: Payload, lines: Lines, timeout: float) -> int:
    """Delete a flow, and return when nothing of it is left; one that is not there is gone already.

    Raises:
        LaunchError: the API refuses it, or something is left.
    """
    if not name:
        raise LaunchError("give --name: the DataFlow that is to be deleted.", WRONG_INPUT)
    from accelchain.cli.errors import RunFailed
    from accelchain.cli.removal import delete_flow

    try:
        found = await here.client.get(DATA_FLOW, name, here.namespace)
        await delete_flow(here.client, found["metadata"]["uid"], name, here.namespace, timeout=timeout)
        lines.say(f"DataFlow {name} is deleted")
    except ApiError as error:
        if error.code != 404 or "could not find the requested resource" in error.message:
            raise explained(error, here.namespace) from None
        lines.say(f"DataFlow {name} is not there")
    except RunFailed as error:
        raise LaunchError(error.message) from None
    write(task, {name_: name for name_ in task.files if payload.results.get(name_, name_) == "dataflow"}, {})
    return SUCCEEDED


async def _until_running(here: Place, made: JsonObject, timeout: float, lines: Lines) -> JsonObject:
    from accelchain.cli.record import RunRecord
    from accelchain.cli.watching import list_and_watch

    meta = made["metadata"]
    record = RunRecord(meta["name"], meta["namespace"])
    told = ""
    try:
        async with asyncio.timeout(timeout):
            async for event in list_and_watch(
                here.client,
                DATA_FLOW,
                meta["namespace"],
                field_selector=f"metadata.name={meta['name']}",
                patience=120.0,
                seen=[made],
            ):
                if event.object["metadata"]["uid"] != meta["uid"]:
                    continue
                if event.type == "DELETED":
                    raise LaunchError(f"DataFlow {meta['name']} was deleted before it ran.")
                record.see({**event.object, "kind": "DataFlow"}, 0.0)
                if record.status.get("phase") == "Running":
                    return event.object
                if record.end and record.status.get("phase") in _OVER:
                    refused = record.end["type"] == "Accepted"
                    raise LaunchError(
                        f"{record.end['reason']}: {record.end['message']}", WRONG_INPUT if refused else FAILED
                    )
                if record.waiting and record.waiting != told:
                    told = record.waiting
                    lines.say(f"waiting: {told}")
    except TimeoutError:
        why = told or "nobody has taken it up"
        raise LaunchError(f"DataFlow {meta['name']} was not running after {timeout:g} s: {why}") from None
    except ApiError as error:
        raise explained(error, meta["namespace"]) from None
    raise AssertionError("a watch does not end by itself")
