# SPDX-License-Identifier: Apache-2.0
"""Printing: a reader that goes away (``| head``) ends nobody's run, and makes no traceback."""

from __future__ import annotations

import os
import sys
from typing import IO

import click
from rich.console import Console

from accelchain.cli.errors import RunFailed


def out(text: str) -> bool:
    """Print a line on stdout; False: nobody reads it any more.

    Raises:
        RunFailed: it can't be written, for want of space.
    """
    return _print(text, sys.stdout)


def tell(text: str) -> None:
    """Print a line on stderr, for people."""
    _print(text, sys.stderr)


class PatientConsole(Console):
    """A console that falls silent when its reader goes away; the one of the library ends the process."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
        _give_up(self.file)


def _print(text: str, stream: IO[str]) -> bool:
    try:
        click.echo(text, file=stream)
    except BrokenPipeError:
        _give_up(stream)
        return False
    except OSError as error:
        _give_up(stream)
        raise RunFailed(f"output can't be written: {error.strerror}.") from None
    return True


def _give_up(stream: IO[str]) -> None:
    """Point the stream at nothing: what is still in its buffer would raise again when the process ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
