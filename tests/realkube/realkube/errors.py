# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a cluster: the machine refuses, or the cluster fails."""

from __future__ import annotations

from pathlib import Path

_TAIL_LINES = 15


class RefusedError(Exception):
    """The machine cannot or may not run a cluster. The message is one sentence with the reason; tests skip with it."""


class ClusterError(Exception):
    """The cluster did not do what it should. The message ends with the tails of the logs concerned."""


def tails(*logs: Path) -> str:
    """Return the last lines of logs, each under its name; those that do not exist or are empty are left out."""
    parts = []
    for log in logs:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if lines:
            parts.append("\n".join([f"--- {log.name}:", *lines[-_TAIL_LINES:]]))
    return "\n".join(["", *parts])
