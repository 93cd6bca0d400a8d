# SPDX-License-Identifier: Apache-2.0
"""The files in which KFP is told how a task ended."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelchain.kfp.launcher.errors import LaunchError
from accelchain.kfp.launcher.task import Task, executor_output, parameter_files


def write(task: Task, values: Mapping[str, Any], metadata: Mapping[str, dict[str, Any]]) -> None:
    """Write output parameters and ``executor_output.json``.

    Raises:
        LaunchError: the disk does not let us.
    """
    try:
        for file, text in parameter_files(task, values):
            put(Path(file), text)
        if task.output_file:
            put(Path(task.output_file), json.dumps(executor_output(task, values, metadata)))
    except OSError as error:
        raise LaunchError(f"{error.filename} can't be written: {error.strerror}.") from None


def write_nothing(task: Task) -> None:
    """Tell KFP that a task gave nothing, unless it was told of the task already."""
    if task.output_file and not Path(task.output_file).exists():
        with contextlib.suppress(LaunchError):  # what ended the task is told
            write(task, {}, {})


def put(file: Path, text: str) -> None:
    """Write a file, with the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
