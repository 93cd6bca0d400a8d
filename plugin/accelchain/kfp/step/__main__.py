# SPDX-License-Identifier: Apache-2.0
"""The container's process: ``python -m accelchain.kfp.step FUNCTION --executor-input JSON --map JSON``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelchain.kfp.step.errors import StepError
from accelchain.kfp.step.mapping import Task, executor_output, parameter_files, task_of
from accelchain.kfp.step.process import run

_COMMAND = (sys.executable, "-P", "-m", "accelchain_runtime.step")


def main(arguments: Sequence[str]) -> int:
    """Run one task and return its exit code: that of the function's process, 2 where the input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m accelchain.kfp.step", description=__doc__, allow_abbrev=False)
    parser.add_argument("function", metavar="FUNCTION", help="NAME or NAME@VERSION")
    parser.add_argument("--executor-input", required=True, metavar="JSON", help="KFP's {{$}}")
    parser.add_argument("--map", default="{}", metavar="JSON", help="ports, parameters, addresses and results")
    parser.add_argument("--compat", help="ignored; the word that kfp.local's SubprocessRunner looks for")
    given = parser.parse_args(arguments)
    try:
        mapping, executor_input = _object("--map", given.map), _object("--executor-input", given.executor_input)
        task = task_of(given.function, mapping, executor_input)
        code, text = run([*_COMMAND, *task.arguments])
        if code == 0:
            _write(task, _told(text))
    except StepError as error:
        print(f"accelchain.kfp.step: {error}", file=sys.stderr)
        return error.code
    return code


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StepError(f"{option} is no JSON ({error}): give what KFP puts in place of {{{{$}}}}.") from None
    if not isinstance(value, dict):
        raise StepError(f"{option} is no JSON object.")
    return value


def _told(text: str) -> dict[str, Any]:
    """Return the document on the last line; what stands before it is the function's own and is printed."""
    *others, last = text.splitlines() or [""]
    for line in others:
        print(line)
    try:
        told: dict[str, Any] = json.loads(last)
    except ValueError:
        raise StepError(f"the function ended well, and told {last[:200]!r}, which is no JSON.", code=1) from None
    return told


def _write(task: Task, told: dict[str, Any]) -> None:
    output = executor_output(task, told)
    for file, text in parameter_files(task, output):
        _put(Path(file), text)
    if task.output_file:
        _put(Path(task.output_file), json.dumps(output))
    frames = told.get("frames")
    print(f"{frames} frames" if frames is not None else "done")


def _put(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StepError(f"{file} can't be written: {error.strerror}.", code=1) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
