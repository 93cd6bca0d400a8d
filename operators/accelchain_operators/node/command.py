# SPDX-License-Identifier: Apache-2.0
"""A program that is run to its end, within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping, Sequence

TAIL = 2000


class CommandError(Exception):
    """The program did not start, failed, or took too long. The message ends with the end of its stderr."""


async def run_command(argv: Sequence[str], environment: Mapping[str, str], deadline_seconds: float) -> bytes:
    """Return what a program prints on stdout.

    The program is killed with everything in its process group when the deadline passes or the caller is cancelled.

    Args:
        argv: the program and its arguments.
        environment: its whole environment.
        deadline_seconds: how long it may take.

    Raises:
        CommandError: the program did not start, ended with another code than 0, or took too long.
    """
    name = shlex.join(argv)
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"{name} did not start: {error}") from error
    try:
        async with asyncio.timeout(deadline_seconds):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise CommandError(f"{name} took more than {deadline_seconds:g} s and was ended") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended this very moment
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        tail = errors.decode(errors="replace").strip()[-TAIL:]
        raise CommandError(f"{name} ended with code {process.returncode}: {tail}")
    return output
