# SPDX-License-Identifier: Apache-2.0
"""``accelchain argo``: a table of contents; the plugin, which must start fast, costs only its own imports."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "install": ("argo_install", "Write the objects that Argo needs in a namespace."),
    "resource": ("argo_resource", "Rewrite plugin templates for clusters that allow no plugin."),
    "plugin": ("argo_plugin", "Serve Argo's agent (what the container in its Pod runs)."),
}
"""Command: module of this package that holds it, and its line in the help."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"accelchain.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Group)
def argo() -> None:
    """Install the Argo plugin; write templates for clusters without it."""
