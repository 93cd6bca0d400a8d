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
    def end(self) -> JsonObject | None:
        """The condition that ended the flow: Succeeded, Failed, or Accepted where that is False."""
        for kind, status in (("Succeeded", "True"), ("Failed", "True"), ("Accepted", "False")):
            condition = self.condition(kind)
            if condition and condition["status"] == status:
                return condition
        return None


def state_of(obj: JsonObject) -> str:
    """Return one word for an object's state; empty where it has none."""
    status = obj.get("status") or {}
    phase: str = status.get("phase", "")
    return phase


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
        return f"worker at {status['podIP']}" if status.get("podIP") else "worker"
    return ""
