# SPDX-License-Identifier: Apache-2.0
"""Names: what a step's DataFlow is called, and which node of the Workflow it stands for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
"""The Workflow's name: ``argo logs`` finds Pods by it."""
UID_LABEL = "accelchain.io/workflow-uid"
NODE_ID = "accelchain.io/node-id"
NODE_NAME = "accelchain.io/node-name"
NODE_ATTEMPT = "accelchain.io/node-attempt"
NODE_STARTED_AT = "accelchain.io/node-started-at"
"""``startedAt`` of the Workflow's node, once it is known: ``argo retry`` changes it and nothing else."""
COMPLETE_WHEN = "accelchain.io/complete-when"
CANCELLED_FOR = "accelchain.io/cancelled-for"
"""The node's message, where the flow was told to end for it: the flow's own status says no more than that it was."""
REPORTED = "accelchain.io/reported"
"""The node's phase, once the task-set operator has handed it over."""

LABEL_LENGTH = 63
_DIGITS = 16
_WORKFLOW_LENGTH = 24
_LAST = re.compile(r"([^.\[\]()]+)(?:\((\d.*)\))?$", re.DOTALL)
"""A node's own name, with its index and item in a loop."""
_OFFSET, _PRIME = 0x811C9DC5, 0x01000193


@dataclass(frozen=True, slots=True)
class WorkflowId:
    """Which Workflow asks."""

    namespace: str
    name: str
    uid: str


def fnv32a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of a text in UTF-8, as Argo takes it for node ids."""
    value = _OFFSET
    for byte in text.encode("utf-8", "surrogatepass"):
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return value


def node_id(workflow: str, node_name: str) -> str:
    """Return the id that Argo gives a node (argoproj/argo-workflows v4.1.2, workflow_types.go:NodeID).

    Args:
        workflow: the Workflow's name.
        node_name: the node's full name, with ``(n)`` for an attempt.
    """
    return workflow if node_name == workflow else f"{workflow}-{fnv32a(node_name)}"


def attempt_name(node: str, attempt: int | None) -> str:
    """Return the name of the node that runs: that of the attempt's own node under a retryStrategy."""
    return node if attempt is None else f"{node}({attempt})"


def flow_name(workflow: WorkflowId, node: str, attempt: int) -> str:
    """Return the DataFlow's name: a DNS label, the same for the same three and another one for any others."""
    identity = "\0".join((workflow.uid, node, str(attempt)))
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    first = _clean(workflow.name)[:_WORKFLOW_LENGTH].strip("-") or "workflow"
    room = LABEL_LENGTH - _DIGITS - len(first) - 2
    last = _clean(_last_part(workflow.name, node))[:room].strip("-")
    return "-".join(part for part in (first, last, digest) if part)


def _last_part(workflow: str, node: str) -> str:
    """Return what tells a node from its siblings: ``detect(2:night)`` of ``wf[0].detect(2:night)``."""
    found = _LAST.search(node.removeprefix(workflow))
    return "" if found is None else f"{found[1]}-{found[2]}" if found[2] else found[1]


def _clean(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
