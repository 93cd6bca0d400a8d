# SPDX-License-Identifier: Apache-2.0
"""The commands: a table of contents; every command has a module of its own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from accelchain.cli.diagnostics import silence
from accelchain.cli.errors import SUCCEEDED

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("run", "Run a DataFlow to its end and show what happens."),
    "up": ("up", "Start a cluster on this machine: embedded API, operators, node agent."),
    "devices": ("devices", "List this machine's devices."),
    "get": ("show", "Show resources."),
    "describe": ("show", "Say what is known of a DataFlow."),
    "logs": ("logs", "Print the log of a DataFlow's workers."),
    "live": ("live", "Show a running DataFlow's figures and video in a browser."),
    "suspend": ("lifecycle", "Stop a DataFlow's workers and give its devices back."),
    "resume": ("lifecycle", "Let a suspended DataFlow go on."),
    "cancel": ("lifecycle", "End a DataFlow as Failed, and leave it there."),
    "delete": ("lifecycle", "Delete a DataFlow and everything made for it."),
    "validate": ("validate", "Check a file without running it."),
    "graph": ("graph", "Draw a chain with its placement as SVG."),
    "fuse": ("fuse", "Rewrite an Argo workflow: chains of steps become one DataFlow each."),
    "unfuse": ("fuse", "Take a fused workflow back to what it was."),
    "kfp": ("kfp", "Give Kubeflow Pipelines the rights that it needs."),
    "argo": ("argo", "Install the Argo plugin; write templates for clusters without it."),
    "doctor": ("doctor", "Check that this machine can run flows."),
    "operator": ("operator", "Run operators in or for a cluster (what their containers run)."),
    "node": ("node", "Publish this node's devices and heartbeat (what the DaemonSet runs)."),
    "worker": ("worker", "Run a plan (what worker Pods run)."),
    "step": ("step", "Run one function on files (what ordinary pods of a chain run)."),
    "uninstall": ("uninstall", "Remove what a release leaves in its cluster (what helm uninstall runs)."),
}
"""Command: module of this package that holds it, and its line in the help (so that help imports nothing)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: a command costs only its own imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"accelchain.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="accelchain")
def cli() -> None:
    """Chain accelerator functions device to device: DataFlows in, results out."""


def run_command_line() -> int:
    """Run the command that ``sys.argv`` names, and return its exit code.

    Raises:
        KeyboardInterrupt: it was interrupted, and has cleaned up.
    """
    silence()
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else SUCCEEDED
