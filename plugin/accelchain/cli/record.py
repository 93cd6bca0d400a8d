# SPDX-License-Identifier: Apache-2.0
"""What a run looked like from outside: resources in order of appearance, figures over time, the end.

The live display and the report read it; ``follow.py`` fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]
LAYERS: Mapping[str, str] = {
    "DataFlow": "definition",
    "FunctionChain": "abstract",
    "FunctionType": "abstract",
    "WBFunction": "individual",
    "WBConnection": "individual",
    "Pod": "pod",
}
"""The layer of every kind that people are shown."""


@dataclass(slots=True)
class Appearance:
    """A resource, and when it and its states were first seen (seconds since the run began)."""

    kind: str
    name: str
    detail: str
    seconds: float
    states: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Sample:
    """A worker's document and when it came."""

    seconds: float
    document: JsonObject


@dataclass(slots=True)
class RunRecord:
    """All that is known of a run so far."""

    name: str
    namespace: str = "default"
    appearances: dict[tuple[str, str], Appearance] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    flow: JsonObject = field(default_factory=dict)
    live: str = ""
    """Address of the first live view, token included."""
    log: list[str] = field(default_factory=list)
    """The worker's last lines, where they help to understand a failure."""

    def see(self, obj: JsonObject, seconds: float) -> Appearance | None:
        """Note an object's state; return its Appearance if the object or its state is new."""
        kind, name = obj["kind"], obj["metadata"]["name"]
        if kind == "DataFlow":
            self.flow = obj
        state = state_of(obj)
        known = self.appearances.get((kind, name))
        if known is None:
            known = self.appearances[kind, name] = Appearance(kind, name, detail_of(obj), seconds)
        elif known.states and known.states[-1][1] == state:
            return None
        known.detail = detail_of(obj) or known.detail
        known.states.append((seconds, state))
        return known

    def add_sample(self, document: JsonObject, seconds: float) -> None:
        """Keep a worker's document."""
        self.samples.append(Sample(seconds, document))

    @property
    def document(self) -> JsonObject:
        """The worker's latest document, empty before the first one."""
        return self.samples[-1].document if self.samples else {}

    @property
    def status(self) -> JsonObject:
        """The DataFlow's status."""
        status: JsonObject = self.flow.get("status") or {}
        return status

    def condition(self, kind: str) -> JsonObject | None:
        """Return the DataFlow's condition of that type, if it is there."""
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), None)

    @property
    def frames(self) -> int:
        """Frames that went through the whole flow."""
        return int(self._figure("frames"))

    @property
    def frames_per_second(self) -> float:
        """Frames a second over the whole run."""
        return float(self._figure("framesPerSecond"))

    def _figure(self, name: str) -> float:
        """The status is final once the flow has ended; while it runs the worker's document is newer."""
        sources = (self.status.get("progress") or {}, self.document)
        value: float = next((s[name] for s in (sources if self.end else reversed(sources)) if name in s), 0)
        return value

    @property
    def pods(self) -> list[str]:
        """Names of the worker pods that were seen."""
        return [name for kind, name in self.appearances if kind == "Pod"]

    @property
    def waiting(self) -> str:
        """Why the flow does not begin, as reason and sentence; empty where nothing holds it up."""
        if self.end:
            return ""
        if self.status.get("phase") == "Suspended":
            return f"Suspended: it holds no devices; accelchain resume {self.name} lets it go on"
        for kind in ("Scheduled", "Running"):
            condition = self.condition(kind)
            if condition and condition["status"] == "False":
                return f"{condition['reason']}: {condition.get('message', '')}"
        return ""

    @property
    def end(self) -> JsonObject | None:
        """The condition that ended the flow: Succeeded, Failed, or Accepted where that is False.

        A dry run has no such condition: its end is of type Planned.
        """
        if self.status.get("phase") == "Planned":
            return {"type": "Planned", "status": "True", "reason": "DryRun", "message": ""}
        for kind, status in (("Succeeded", "True"), ("Failed", "True"), ("Accepted", "False")):
            condition = self.condition(kind)
            if condition and condition["status"] == status:
                return condition
        return None


def work_seconds(progress: Mapping[str, Any]) -> float:
    """Return for how many seconds a flow worked, by its ``status.progress``."""
    rate = float(progress.get("framesPerSecond") or 0.0)
    return round(progress.get("frames", 0) / rate, 3) if rate else 0.0


def state_of(obj: JsonObject) -> str:
    """Return one word for an object's state; empty where it has none."""
    status = obj.get("status") or {}
    state: str = _waiting(obj).get("reason") or status.get("phase", "")
    return state


def detail_of(obj: JsonObject) -> str:
    """Return a few words about an object: where a function runs, how an edge goes."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if obj["kind"] == "WBFunction":
        return f"{spec['type']} on {spec['nodeName']}/{spec['device']} ({spec['implementation']})"
    if obj["kind"] == "WBConnection":
        ends = " → ".join(f"{spec[end]['function']}.{spec[end]['port']}" for end in ("from", "to"))
        return f"{ends} {status['mechanism']}" if status.get("mechanism") else ends
    if obj["kind"] == "DataFlow":
        reference = spec.get("chainRef", {}).get("name")
        return f"chain {reference}" if reference else "chain inline"
    if obj["kind"] == "FunctionChain":
        return f"{len(spec['functions'])} functions, {len(spec.get('connections', ()))} connections"
    if obj["kind"] == "FunctionType":
        return f"{spec.get('version', '1.0.0')}: {', '.join(i['name'] for i in spec['implementations'])}"
    if obj["kind"] == "Pod":
        waiting = _waiting(obj).get("message", "")
        return waiting or (f"worker at {status['podIP']}" if status.get("podIP") else "worker")
    return ""


def _waiting(obj: JsonObject) -> JsonObject:
    """Return why a Pod's container does not start, where that is known: PreparingKernels, and a sentence."""
    containers = (obj.get("status") or {}).get("containerStatuses") or () if obj["kind"] == "Pod" else ()
    waiting: JsonObject = next((s["state"]["waiting"] for s in containers if "waiting" in s.get("state", {})), {})
    return waiting if waiting.get("message") else {}
