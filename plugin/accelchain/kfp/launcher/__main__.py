# SPDX-License-Identifier: Apache-2.0
"""The container's process: ``python -m accelchain.kfp.launcher run --payload WORD --executor-input JSON``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from accelchain.kfp.core.payload import Payload, PayloadError, decode
from accelchain.kfp.launcher.errors import FAILED, WRONG_INPUT, LaunchError
from accelchain.kfp.launcher.lines import Lines, complain

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_END_SECONDS = 10.0
"""For everything that is torn down after a signal."""
_DELETE_SECONDS = 120.0


def main(arguments: Sequence[str]) -> int:
    """Run one task, and return its exit code: 0 succeeded, 1 failed, 2 wrong input, 128 and the number of a signal."""
    started = time.monotonic()
    given = _parser().parse_args(arguments)
    try:
        return asyncio.run(_until_signal(_work(given, started)))
    except LaunchError as error:
        complain(str(error))
        return error.code


async def _work(given: argparse.Namespace, started: float) -> int:
    from accelchain.kfp.launcher.deploy import delete, deploy
    from accelchain.kfp.launcher.manifest import payload_of
    from accelchain.kfp.launcher.outcome import write_nothing
    from accelchain.kfp.launcher.place import place
    from accelchain.kfp.launcher.run import Run
    from accelchain.kfp.launcher.task import task_of

    if given.payload:
        try:
            payload = decode(given.payload)
        except PayloadError as error:
            raise LaunchError(str(error), WRONG_INPUT) from None
    elif given.command == "delete":
        payload = Payload(name=given.name, spec={})
    else:
        payload = payload_of(given)
    task = task_of(given.executor_input, payload)
    lines = Lines()
    try:
        async with place(task.output_file, given.kubeconfig, given.context, given.namespace, lines.say) as here:
            if given.command == "delete":
                return await here.while_whole(
                    delete(here, given.name, task, payload, lines, given.run_timeout or 120.0)
                )
            if given.command == "deploy":
                return await here.while_whole(deploy(payload, task, here, lines, started, given.ready_timeout))
            run = Run(payload, task, here, lines, started, given.ready_timeout, given.run_timeout)
            return await here.while_whole(run.whole())
    except LaunchError:
        write_nothing(task)
        raise


async def _until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Await work; the first signal cancels it, and ends the process when it has cleaned up, or after a while."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    caught: list[int] = []

    def end(number: int) -> None:
        if not caught:
            caught.append(number)
            task.cancel()
            loop.call_later(_END_SECONDS, os._exit, 128 + number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m accelchain.kfp.launcher", description=__doc__, allow_abbrev=False)
    parser.add_argument("command", choices=("run", "deploy", "delete"), help="what is done with the DataFlow")
    parser.add_argument("--executor-input", required=True, metavar="JSON", help="KFP's {{$}}")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--payload", metavar="WORD", help="what accelchain fuse made of a chain")
    what.add_argument("--manifest", metavar="JSON", help="a DataFlow, or its spec")
    what.add_argument("--chain", metavar="NAME", help="a FunctionChain of the namespace")
    parser.add_argument("--name", default="", help="of the DataFlow, where the task does not give it one")
    parser.add_argument("--parameters", default="", metavar="JSON", help="values for the chain's parameters")
    parser.add_argument("--inputs", default="", metavar="JSON", help="addresses of the chain's inputs")
    parser.add_argument("--outputs", default="", metavar="JSON", help="addresses of the chain's outputs")
    parser.add_argument(
        "--map", default="", metavar="JSON", help="a payload's inputs, outputs, parameters, results, pages"
    )
    parser.add_argument("--kubeconfig", help="of a cluster; the pod's own, or this machine, where absent")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("-n", "--namespace", help="of the DataFlow; the pod's where absent")
    parser.add_argument("--ready-timeout", type=_seconds, metavar="SECONDS", help="within which the flow has to run")
    parser.add_argument("--run-timeout", type=_seconds, metavar="SECONDS", help="within which the flow has to end")
    parser.add_argument("--compat", help="ignored; the word that kfp.local's SubprocessRunner looks for")
    return parser


def _seconds(text: str) -> float | None:
    value = float(text or 0)
    return value if value > 0 else None


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except Exception as error:  # a sentence, and where it happened, for whoever reports it
        import traceback

        traceback.print_exc()
        complain(f"{type(error).__name__}: {error}")
        code = FAILED
    sys.exit(code)
