# SPDX-License-Identifier: Apache-2.0
"""A step of a Workflow, and its DataFlow in every state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from accelchain.argo.core.identity import WorkflowId, node_id
from accelchain.argo.core.steps import Create, Decision, Situation, decide
from accelchain.argo.core.workflow import WorkflowView, view

Json = dict[str, Any]

NOW = 1_800_000_000.0
WORKFLOW = WorkflowId("videos", "people-x7k2p", "6f0c2f6e-1d0b-4c53-9a07-0d3f2a3b4c5d")
NODE = "people-x7k2p.detect"
TEMPLATE: Json = {
    "name": "detect",
    "inputs": {"parameters": [{"name": "threshold", "value": "0.4"}]},
    "outputs": {"parameters": [{"name": "count", "valueFrom": {"supplied": {}}}, {"name": "detections"}]},
    "plugin": {
        "accelchain": {
            "node": NODE,
            "attempt": "{{retries}}",
            "dataflow": {
                "chain": {
                    "parameters": [{"name": "threshold", "type": "number", "default": 0.4}],
                    "inputs": [{"name": "video"}],
                    "outputs": [{"name": "annotated"}, {"name": "detections"}],
                    "functions": [
                        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
                        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.annotated.uri)"}},
                        {
                            "name": "write",
                            "type": "write-detections",
                            "parameters": {"uri": "$(outputs.detections.uri)"},
                        },
                    ],
                },
                "parameters": {"threshold": "0.4"},
                "rate": {"framesPerSecond": "8"},
                "inputs": {"video": {"uri": "file:///data/street.mp4"}},
                "outputs": {
                    "annotated": {"uri": "file:///out/street.mp4"},
                    "detections": {"uri": "file:///out/street.jsonl"},
                },
            },
            "results": {"count": "write.detections"},
        }
    },
}


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Step:
    """A step whose Workflow, template and flow a test changes; times are seconds relative to now."""

    id: WorkflowId = WORKFLOW
    template: Json = field(default_factory=lambda: copy.deepcopy(TEMPLATE))
    workflow: Json = field(
        default_factory=lambda: {
            "metadata": {"namespace": WORKFLOW.namespace, "name": WORKFLOW.name, "uid": WORKFLOW.uid},
            "spec": {"serviceAccountName": "authors", "templates": []},
            "status": {"phase": "Running", "startedAt": stamp(NOW - 30), "nodes": {}},
        }
    )
    flow: Json | None = None

    @property
    def body(self) -> Json:
        body: Json = self.template["plugin"]["accelchain"]
        return body

    @property
    def spec(self) -> Json:
        spec: Json = self.body["dataflow"]
        return spec

    def begun(self, seconds: float = -20.0, name: str = NODE, **node: Any) -> Step:
        """Have the node in the Workflow, begun at that time."""
        self.workflow["status"]["nodes"][node_id(self.id.name, name)] = {
            "name": name,
            "displayName": name.rpartition(".")[2],
            "type": "Plugin",
            "phase": "Pending",
            "startedAt": stamp(NOW + seconds),
        } | node
        return self

    def view(self) -> WorkflowView:
        return view(self.workflow)

    def decide(self, after: float = 0.0, **more: Any) -> Decision:
        given = {"workflow": self.view(), "node_id": None, "flow": self.flow} | more
        return decide(Situation(id=self.id, template=self.template, now=NOW + after, **given))

    def create(self, seconds: float = -18.0) -> Step:
        """Do what the decision says: create the flow at that time."""
        decision = self.decide()
        assert isinstance(decision, Create), decision
        self.flow = copy.deepcopy(decision.flow)
        self.flow["metadata"] |= {"uid": "flow-uid", "creationTimestamp": stamp(NOW + seconds)}
        return self

    def state(self, *conditions: str, reason: str = "Because", message: str = "so it is", **status: Any) -> Step:
        """Give the flow conditions: ``Accepted``, ``!Running`` for one that is False."""
        assert self.flow is not None
        listed = [
            {"type": c.lstrip("!"), "status": "False" if c.startswith("!") else "True", "reason": reason}
            | ({"message": message} if message else {})
            for c in conditions
        ]
        self.flow["status"] = {"conditions": listed} | status
        return self

    def run(self) -> Step:
        return self.state(
            "Accepted",
            "Scheduled",
            "Running",
            startTime=stamp(NOW - 15),
            placement=[{"function": f, "node": "n1", "device": d} for f, d in (("decode", "host"), ("encode", "cpu0"))],
        )

    def end(self, failed: str = "", completed: float = -2.0) -> Step:
        """Have the flow end, Succeeded or with a reason."""
        ends = ("Failed", "!Succeeded") if failed else ("Succeeded", "!Failed")
        return self.state(
            "Accepted",
            *ends,
            "!Running",
            reason=failed or "Done",
            startTime=stamp(NOW - 15),
            completionTime=stamp(NOW + completed),
            progress={"frames": 120, "total": 120, "framesPerSecond": 24.5},
            outputs={
                "parameters": [{"name": "write.detections", "value": "17"}],
                "artifacts": [{"name": "annotated", "uri": "file:///out/street.mp4"}],
            },
        )


@pytest.fixture
def step() -> Step:
    """A step that Argo has just begun: the node is in the Workflow, there is no flow yet."""
    return Step().begun()


@pytest.fixture(scope="session")
def new_step() -> Callable[[], Step]:
    """Return what makes steps that Argo has put into the TaskSet, and not yet into the Workflow."""
    return Step
