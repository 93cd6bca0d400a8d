# SPDX-License-Identifier: Apache-2.0
"""A step's DataFlow: how it is made, and what its status says."""

from __future__ import annotations

from typing import Any

from accelchain.api import API_VERSION
from accelchain.argo.core.body import Body
from accelchain.argo.core.identity import (
    CANCELLED_FOR,
    COMPLETE_WHEN,
    LABEL_LENGTH,
    NODE_ATTEMPT,
    NODE_ID,
    NODE_NAME,
    NODE_STARTED_AT,
    UID_LABEL,
    WORKFLOW_LABEL,
    WorkflowId,
    flow_name,
)

JsonObject = dict[str, Any]
INFRASTRUCTURE = ("WorkerLost", "DeviceFailed")
"""Reasons that are nobody's fault who wrote the step: the node is in Error, and may be tried again."""
_MESSAGE_LENGTH = 1024
_DEVICES_LENGTH = 200


def new_flow(workflow: WorkflowId, body: Body, spec: JsonObject, node_id: str, started_at: str) -> JsonObject:
    """Return a step's DataFlow.

    Args:
        workflow: which Workflow asks.
        body: the step's body.
        spec: its spec, with the addresses of artifacts.
        node_id: the Workflow's node.
        started_at: when the Workflow's node began; empty: not known yet.
    """
    annotations = {
        NODE_ID: node_id,
        NODE_NAME: body.node,
        NODE_ATTEMPT: str(body.attempt or 0),
        COMPLETE_WHEN: body.complete_when,
    }
    labels = {UID_LABEL: workflow.uid}
    if len(workflow.name) <= LABEL_LENGTH:
        labels[WORKFLOW_LABEL] = workflow.name
    metadata: JsonObject = {
        "name": flow_name(workflow, body.node, body.attempt or 0),
        "namespace": workflow.namespace,
        "labels": labels,
        "annotations": annotations | ({NODE_STARTED_AT: started_at} if started_at else {}),
    }
    if body.owned:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": workflow.name,
                "uid": workflow.uid,
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ]
    return {"apiVersion": API_VERSION, "kind": "DataFlow", "metadata": metadata, "spec": spec}


def cancellation(result: JsonObject) -> JsonObject:
    """Return the merge patch that ends a flow whose node has ended with this result.

    It says why, for whoever looks at the flow next: the other front, or a process that was started anew meanwhile.
    """
    return {"metadata": {"annotations": {CANCELLED_FOR: result["message"]}}, "spec": {"cancel": True}}


def condition(flow: JsonObject, kind: str) -> JsonObject:
    """Return a condition of a DataFlow; empty: it is not there."""
    found: JsonObject = next((c for c in (flow.get("status") or {}).get("conditions") or () if c["type"] == kind), {})
    return found


def holds(flow: JsonObject, kind: str) -> bool:
    """Tell whether a condition is True."""
    return condition(flow, kind).get("status") == "True"


def has_ended(flow: JsonObject) -> bool:
    """Tell whether a DataFlow is final."""
    return holds(flow, "Succeeded") or holds(flow, "Failed")


def is_refused(flow: JsonObject) -> bool:
    """Tell whether a DataFlow can't run as it is written."""
    return condition(flow, "Accepted").get("status") == "False"


def stage(flow: JsonObject) -> str:
    """Return in words how far a flow is; without figures, so that it changes with the stage only."""
    running = condition(flow, "Running")
    if running.get("status") == "True":
        return f"Running{_places(flow)}, {_log(flow)}"
    if running.get("status") == "False":
        return f"Waits: {running['reason']}"
    scheduled = condition(flow, "Scheduled")
    if scheduled.get("status") == "True":
        return f"Scheduled{_places(flow)}"
    return f"Pending: {scheduled['reason']}" if scheduled.get("status") == "False" else "Pending"


def failure(flow: JsonObject) -> tuple[str, str]:
    """Return phase and message of a node whose flow failed or was refused."""
    why = condition(flow, "Failed") if holds(flow, "Failed") else condition(flow, "Accepted")
    ours = (flow["metadata"].get("annotations") or {}).get(CANCELLED_FOR)
    if why["reason"] == "Cancelled" and ours:
        return "Failed", shortened(ours)
    phase = "Error" if why["reason"] in INFRASTRUCTURE else "Failed"
    hint = f" (log: {_log(flow)})" if (flow.get("status") or {}).get("startTime") else ""
    return phase, shortened(f"{why['reason']}: {why.get('message') or 'no more is known'}", hint)


def success(flow: JsonObject) -> str:
    """Return the message of a node whose flow reached what it should."""
    return f"DataFlow {flow['metadata']['name']} (log: {_log(flow)})"


def shortened(message: str, hint: str = "") -> str:
    """Return a message of at most 1024 characters, with its hint whole."""
    room = _MESSAGE_LENGTH - len(hint)
    return (message if len(message) <= room else message[: room - 1] + "…") + hint


def _log(flow: JsonObject) -> str:
    return f"accelchain logs {flow['metadata']['name']} -n {flow['metadata']['namespace']}"


def _places(flow: JsonObject) -> str:
    placement = (flow.get("status") or {}).get("placement") or ()
    places = ", ".join(sorted({f"{p['node']}/{p['device']}" for p in placement}))
    short = places if len(places) <= _DEVICES_LENGTH else places[: _DEVICES_LENGTH - 1] + "…"
    return f" on {short}" if short else ""
