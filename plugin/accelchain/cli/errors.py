# SPDX-License-Identifier: Apache-2.0
"""How the command line ends: exit codes, and one sentence for what went wrong."""

from __future__ import annotations

from typing import IO, Any

import click

SUCCEEDED, FAILED, REFUSED = 0, 1, 2


class Refused(click.ClickException):
    """The user's input is wrong: one sentence a problem on stderr, exit 2, nothing was changed."""

    exit_code = REFUSED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentences."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)


class RunFailed(click.ClickException):
    """The run failed: exit 1."""

    exit_code = FAILED
