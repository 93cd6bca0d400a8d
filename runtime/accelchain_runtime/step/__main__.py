# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain_runtime.step``: one function, files in and files out, by the same engine that runs chains."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from accelchain_runtime import registry
from accelchain_runtime.devices.pool import DevicePool, cache_folder
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.run import Run
from accelchain_runtime.engine.status import Status
from accelchain_runtime.supervise import EXIT_FAILED, EXIT_INPUT, EXIT_SUCCEEDED, carry_out, exit_code

from .arguments import USAGE, find, parse, written
from .ends import folders
from .task import plan_of


def main(arguments: Sequence[str]) -> int:
    """Run a step and return its exit code; what its function told is one JSON document on stdout."""
    started = time.monotonic()
    functions = registry.find()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{USAGE}\n\nFunctions: {', '.join(sorted({function.name for function in functions}))}")
        return EXIT_SUCCEEDED if arguments else EXIT_INPUT
    step = parse(find(arguments[0], functions), arguments[1:])
    for file in written(step):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{file}: its folder can't be made: {error.strerror}.") from None
    status = Status(started)
    run = Run(plan_of(step), [step.function, *folders()], DevicePool(cache_folder()), status, cache=cache_folder())
    carry_out(run, None, drains=False)
    document = status.document()
    for warning in document["warnings"]:
        _say(f"warning: {warning}")
    if status.phase != "Succeeded":
        _say(document["message"])
        return exit_code(status)
    told = document["outputs"]["parameters"]
    results = {name.partition(".")[2]: told[name] for name in told if not name.startswith("--")}
    print(json.dumps({"frames": document["frames"], "results": results}))
    return EXIT_SUCCEEDED


def _say(sentence: str) -> None:
    print(f"accelchain step: {sentence}", file=sys.stderr)


def _process() -> None:
    """Run ``main`` and end the process at once: threads that hang in foreign code must not hold it up."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # what it has a sentence for is in the status too, and said once
    logging.getLogger("worker").addFilter(lambda record: bool(record.exc_info))
    try:
        code = main(sys.argv[1:])
    except (InputError, registry.ManifestError) as error:
        _say(str(error))
        code = EXIT_INPUT
    except BaseException:
        logging.getLogger("step").exception("the step failed")
        code = EXIT_FAILED
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # its reader has gone: the exit code still counts
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _process()
