# SPDX-License-Identifier: Apache-2.0
"""``accelchain worker``: the worker as its image runs it."""

from __future__ import annotations

import os
import sys

import click

_COMMAND = (sys.executable, "-P", "-m", "accelchain_runtime.worker")


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run a plan: ``accelchain worker --plan FILE``; ``accelchain worker --help`` lists the worker's options."""
    # In place of this process: the worker gets our signals, and nothing of the command line stays in its memory.
    os.execv(_COMMAND[0], [*_COMMAND, *arguments])
