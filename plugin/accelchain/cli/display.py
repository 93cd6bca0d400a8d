# SPDX-License-Identifier: Apache-2.0
"""Shows a run: a live table and a bar on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from accelchain.cli.record import LAYERS, Appearance, RunRecord
from accelchain.cli.wording import microseconds

STYLES = {"definition": "magenta", "abstract": "cyan", "individual": "green", "pod": "yellow"}
_PLAIN_EVERY = 2.0
"""Seconds between two plain progress lines."""


class Display(Protocol):
    """Somebody who watches a run."""

    def appeared(self, item: Appearance) -> None:
        """A resource is new or changed its state."""

    def figures(self, record: RunRecord) -> None:
        """The worker sent new figures."""

    def say(self, text: str) -> None:
        """Tell people something."""

    def close(self) -> None:
        """Stop drawing."""


class SilentDisplay:
    """Nobody watches."""

    def appeared(self, item: Appearance) -> None:
        """Ignore it."""

    def figures(self, record: RunRecord) -> None:
        """Ignore it."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Nothing is drawn."""


class PlainDisplay:
    """Plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = -_PLAIN_EVERY

    def appeared(self, item: Appearance) -> None:
        """Print a line."""
        self.say(_line(item).plain)

    def figures(self, record: RunRecord) -> None:
        """Print progress, seldom."""
        document, now = record.document, record.samples[-1].seconds
        if document.get("phase") != "Running" or now - self._last < _PLAIN_EVERY:
            return
        self._last = now
        total = f"/{document['total']}" if document.get("total") else ""
        self.say(f"{now:6.2f} s  {document['frames']}{total} frames, {document['framesPerSecond']:.1f} frames/s")

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is drawn."""


class LiveDisplay:
    """Resources as lines that stay; below them a table of functions and a bar that move."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.completed:.0f} frames  {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("frames", total=None, rate="", visible=False)
        self._live = Live(Text(""), console=console, refresh_per_second=8, transient=False)
        self._live.start()

    def appeared(self, item: Appearance) -> None:
        """Print a line above the table."""
        self._console.print(_line(item), soft_wrap=True)

    def figures(self, record: RunRecord) -> None:
        """Draw the table anew."""
        document = record.document
        self._progress.update(
            self._task,
            description=record.name,
            completed=document.get("frames", 0),
            total=document.get("total"),
            rate=f"{document.get('framesPerSecond', 0):.1f} frames/s",
            visible=True,
        )
        parts: list[RenderableType] = [_table(record), self._progress]
        if record.live and document.get("phase") == "Running":
            parts.append(Text(f"live video: {record.live}", style="dim", overflow="fold"))
        self._live.update(Group(*parts))

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the last table standing."""
        self._live.stop()


def _line(item: Appearance) -> Text:
    layer = LAYERS.get(item.kind, "")
    seconds, state = item.states[-1] if item.states else (item.seconds, "")
    line = Text(f"{seconds:6.2f} s  ", style="dim")
    line.append(f"{item.kind:<14}", style=STYLES.get(layer, ""))
    line.append(f"{item.name}  ", style="bold" if layer == "definition" else "")
    line.append(item.detail, style="dim")
    if state:
        style = {"Failed": "bold red", "Succeeded": "bold green"}.get(state, "bold")
        line.append(f"  {state}", style=style)
    return line


def _table(record: RunRecord) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("function", ratio=2)
    table.add_column("device", ratio=2)
    for name in ("frames", "frames/s", "queue", "a frame"):
        table.add_column(name, justify="right", ratio=1)
    for row in record.document.get("functions", ()):
        table.add_row(
            row["name"],
            f"{row['device']} · {row['implementation']}",
            str(row["frames"]),
            f"{row['framesPerSecond']:.1f}",
            str(row["queue"]),
            microseconds(row["microseconds"]),
        )
    return table


def choose(console: Console, *, quiet: bool) -> Display:
    """Return the display that suits the console."""
    if quiet:
        return SilentDisplay()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
