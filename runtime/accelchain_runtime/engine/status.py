# SPDX-License-Identifier: Apache-2.0
"""The status of a run: written by the engine, read by the status server and the termination log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from accelchain_runtime.devices.pool import AnyDevice
from accelchain_runtime.engine.assemble import Assembly
from accelchain_runtime.engine.figures import Rate
from accelchain_runtime.engine.function import LiveSource
from accelchain_runtime.engine.state import Node

Phase = Literal["Starting", "Running", "Publishing", "Succeeded", "Failed"]
ENDS = ("Succeeded", "Failed")


class Status:
    """What is known of a run at this moment."""

    def __init__(self, started: float) -> None:
        """Begin in phase Starting.

        Args:
            started: ``time.monotonic()`` when the worker got its task.
        """
        self._started = started
        self._changed = threading.Condition()
        self._version = 0
        self._phase: Phase = "Starting"
        self._attempt = 1
        self._start_frame = 0
        self._devices: list[dict[str, str]] = []
        self._reason = ""
        self._message = ""
        self._parameter = ""
        self._outputs: dict[str, Any] = {}
        self._warnings: list[str] = []
        self._live: dict[str, LiveSource] = {}
        self._assembly = Assembly()
        self._running_since: float | None = None
        self._first_frame: float | None = None
        self._worked_until: float | None = None
        self._ended: float | None = None
        self._rates: dict[str, Rate] = {}

    # -- written by the engine ---------------------------------------------------------------------------------------

    def begin(self, attempt: int, start_frame: int) -> None:
        """The plan is known: which attempt this is, and the number of its first frame."""
        with self._changed:
            self._attempt, self._start_frame = attempt, start_frame

    def bound(self, devices: Mapping[str, AnyDevice]) -> None:
        """The plan's devices are open."""
        with self._changed:
            self._devices = [
                {"name": name, "id": device.identity, "model": device.model} for name, device in devices.items()
            ]

    def running(self, assembly: Assembly) -> None:
        """All is set up: frames flow from now on."""
        with self._changed:
            self._assembly = assembly
            self._running_since = time.monotonic()
            self._set_phase("Running")

    def first_frame(self, moment: float) -> None:
        """Every terminal function has done a frame (``time.monotonic``)."""
        self._first_frame = moment

    def warn(self, text: str) -> None:
        """Add a warning that the user should see though the run goes on."""
        with self._changed:
            self._warnings.append(text)

    def offer_live(self, name: str, source: LiveSource) -> None:
        """Offer a live view (``SetupContext.live``)."""
        with self._changed:
            self._live[name] = source

    def publishing(self) -> None:
        """All results are durable, and wait for a grant to publish them; told again where a grant expired."""
        with self._changed:
            if self._worked_until is None:
                self._worked_until = time.monotonic()
            self._set_phase("Publishing")

    def succeed(self, outputs: Mapping[str, Any], reason: str = "") -> None:
        """All frames are done and their results are to be seen; ``reason`` says why where the stream was ended."""
        with self._changed:
            if self._phase not in ENDS:
                self._outputs, self._reason = dict(outputs), reason
                self._set_phase("Succeeded")

    def fail(self, reason: str, message: str, parameter: str = "") -> None:
        """The run has ended otherwise; the first failure counts."""
        with self._changed:
            if self._phase not in ENDS:
                self._reason, self._message, self._parameter = reason, message, parameter
                self._set_phase("Failed")

    def _set_phase(self, phase: Phase) -> None:
        self._phase = phase
        if phase in ENDS:
            self._ended = time.monotonic()
        self._version += 1
        self._changed.notify_all()

    # -- read by others ------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """The run's phase."""
        return self._phase

    @property
    def reason(self) -> str:
        """Why it ended, for machines; empty where it came to its own end."""
        return self._reason

    def live(self, name: str) -> LiveSource | None:
        """Return the live view of that name."""
        with self._changed:
            return self._live.get(name)

    def wait(self, version: int, timeout: float) -> int:
        """Wait until the phase has changed since ``version``, or the timeout; returns the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout)
            return self._version

    def document(self) -> dict[str, Any]:
        """Return the status document (docs/architecture.md, section 2)."""
        with self._changed:
            now = self._ended if self._ended is not None else time.monotonic()
            nodes = self._assembly.nodes
            frames = finished_frames(nodes)
            first = self._first_frame
            return {
                "phase": self._phase,
                "reason": self._reason,
                "message": self._message,
                "parameter": self._parameter,
                "attempt": self._attempt,
                "position": self._start_frame + delivered_frames(nodes),
                "frames": frames,
                "total": self._total(nodes),
                "framesPerSecond": round(self._rate("", frames, now), 2),
                "seconds": round(now - self._started, 3),
                "firstFrameSeconds": round(first - self._started, 3) if first is not None else None,
                "devices": list(self._devices),
                "functions": [self._function(node, now) for node in nodes],
                "edges": [
                    edge.figures.document(edge.label, edge.link.copies) for node in nodes for edge in node.inputs
                ],
                "outputs": {"parameters": dict(self._outputs)},
                "warnings": list(self._warnings),
                "live": [f"/live/{name}.mjpeg" for name in self._live],
            }

    def _function(self, node: Node, now: float) -> dict[str, Any]:
        waiting = min((len(edge.arrived) for edge in node.inputs), default=0)
        return {
            "name": node.name,
            "device": node.device_name,
            "implementation": node.implementation,
            "frames": node.done,
            "framesPerSecond": round(self._rate(node.name, node.done, now), 2),
            "queue": waiting + node.begun - node.done if node.inputs else 0,
            "microseconds": round(node.figures.seconds * 1e6, 1),
        }

    def _rate(self, name: str, frames: int, now: float) -> float:
        """Return frames a second: of late while running, over all at the end."""
        if self._running_since is None:
            return 0.0
        if self._ended is not None:
            seconds = (now if self._worked_until is None else self._worked_until) - self._running_since
            return frames / seconds if seconds > 0 else 0.0
        return self._rates.setdefault(name, Rate(self._running_since)).measure(frames)

    def _total(self, nodes: Sequence[Node]) -> int | None:
        totals = [
            node.limit if node.limit is not None else self._assembly.totals.get(node.name)
            for node in nodes
            if node.terminal
        ]
        known = [total for total in totals if total is not None]
        return max(known) if known and len(known) == len(totals) else None


def finished_frames(nodes: Sequence[Node]) -> int:
    """Return how many frames every terminal function has finished; parts that have ended don't hold others back."""
    terminals = [node for node in nodes if node.terminal]
    going_on = [node.done for node in terminals if not node.finished]
    return min(going_on) if going_on else max((node.done for node in terminals), default=0)


def delivered_frames(nodes: Sequence[Node]) -> int:
    """Return how many frames no further attempt need make: those that every terminal function has delivered.

    A file delivers all of its frames when it is published, live video each as it is done.
    """
    terminals = [node for node in nodes if node.terminal]
    counts = [0 if node.deferred and not node.published else node.done for node in terminals]
    going_on = [
        count
        for count, node in zip(counts, terminals, strict=True)
        if not node.finished or (node.deferred and not node.published)
    ]
    return min(going_on) if going_on else max(counts, default=0)


def cut(document: dict[str, Any], limit: int = 4096) -> bytes:
    """Return the document as JSON of at most ``limit`` bytes: without functions, then edges, then the rest of texts."""
    left_out: set[str] = set()
    for names in ((), ("functions",), ("edges",), ("warnings", "live"), ("devices", "outputs")):
        left_out.update(names)
        shortened = {key: value for key, value in document.items() if key not in left_out}
        data = json.dumps(shortened, separators=(",", ":")).encode()
        if len(data) <= limit:
            return data
    # what is left over is the message: json escapes a character to 12 bytes at most
    shortened["message"] = str(shortened["message"])[: max((limit - 1024) // 12, 0)]
    shortened["parameter"] = str(shortened["parameter"])[:20]
    return json.dumps(shortened, separators=(",", ":")).encode()
