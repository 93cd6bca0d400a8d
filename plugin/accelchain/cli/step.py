# SPDX-License-Identifier: Apache-2.0
"""``accelchain step``: one function on files, as the ordinary pods of a chain run it."""

from __future__ import annotations

import os
import sys

import click

_COMMAND = (sys.executable, "-P", "-m", "accelchain_runtime.step")


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def step(arguments: tuple[str, ...]) -> None:
    """Run one function on files: ``accelchain step filter-resize --width 300 --height 300 --input frames=in …``."""
    # In place of this process: the step gets our signals, and nothing of the command line stays in its memory.
    os.execv(_COMMAND[0], [*_COMMAND, *arguments])
