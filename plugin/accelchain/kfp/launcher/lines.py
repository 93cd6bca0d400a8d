# SPDX-License-Identifier: Apache-2.0
"""What the task's log shows: plain lines, each written at once."""

from __future__ import annotations

import sys

from accelchain.cli.record import Appearance, RunRecord
from accelchain.cli.wording import microseconds

_EVERY = 5.0
"""Seconds between two lines of progress."""


class Lines:
    """Tells of a run in lines on stdout: KFP keeps that, and shows it beside the task."""

    def __init__(self) -> None:
        self._last = -_EVERY

    def appeared(self, item: Appearance) -> None:
        """Tell of a resource that is new or changed its state."""
        seconds, state = item.states[-1] if item.states else (item.seconds, "")
        parts = [f"{seconds:7.2f} s", f"{item.kind:<13}", item.name, item.detail, state]
        self.say("  ".join(part for part in parts if part))

    def figures(self, record: RunRecord) -> None:
        """Tell of progress, seldom."""
        document, now = record.document, record.samples[-1].seconds
        if document.get("phase") != "Running" or now - self._last < _EVERY:
            return
        self._last = now
        total = f"/{document['total']}" if document.get("total") else ""
        self.say(f"{now:7.2f} s  {document['frames']}{total} frames, {document['framesPerSecond']:.1f} frames/s")

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Nothing is drawn."""

    def placement(self, record: RunRecord) -> None:
        """Tell where each function ran, and how long a frame took it."""
        figures = {row["name"]: row for row in record.document.get("functions", ())}
        for place in record.status.get("placement", ()):
            row = figures.get(place["function"])
            took = f", {microseconds(row['microseconds'])} a frame" if row else ""
            where = f"{place['node']}/{place['device']} ({place['implementation']})"
            self.say(f"           {place['function']}: {where}{took}")


def complain(sentence: str) -> None:
    """Print what went wrong, as the last line of the task's log."""
    sys.stdout.flush()
    print(f"accelchain: {sentence}", file=sys.stderr, flush=True)
