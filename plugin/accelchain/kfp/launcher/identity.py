# SPDX-License-Identifier: Apache-2.0
"""Who a launcher is, so that a second try of the same task finds the first one's flow (pure)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final

JsonObject = dict[str, Any]

NODE_NAME: Final = "workflows.argoproj.io/node-name"
WORKFLOW: Final = "workflows.argoproj.io/workflow"
RUN_ID: Final = "pipeline/runid"
UID_LABEL: Final = "accelchain.io/workflow-uid"
TASK: Final = "accelchain.io/launched-for"
"""The task that a flow was made for: who finds a flow of the name knows by it whose it is."""
HEARTBEAT: Final = "accelchain.io/heartbeat"
LAUNCHER: Final = "accelchain.io/launcher"
_TRY = re.compile(r"\(\d+\)(?=\.|$)")
"""What Argo puts behind the name of a node for each try; items of loops have more in their brackets."""
_NAME_LENGTH = 46
_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """The task that this process works for."""

    key: str
    """The same for every try of the task, and for no other task."""
    pod: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    owner: JsonObject | None = None
    """Owner reference of flows; None: nobody owns them."""

    def flow_name(self, chain: str) -> str:
        """Return the name of the task's flow: a DNS label."""
        plain = re.sub(r"[^a-z0-9]+", "-", chain.lower()).strip("-")[:_NAME_LENGTH].rstrip("-") or "chain"
        return f"{plain}-{hashlib.sha256(self.key.encode()).hexdigest()[:_HASH_LENGTH]}"


def of_pod(pod: JsonObject) -> Identity:
    """Return the identity of a launcher in a pod of a Workflow.

    Args:
        pod: its own. One that belongs to no Workflow is a task by itself: its flow ends with the pod.
    """
    meta = pod["metadata"]
    references = meta.get("ownerReferences") or ()
    found = next((r for r in references if r.get("controller") and r.get("kind") == "Workflow"), None)
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key in (RUN_ID, WORKFLOW)}
    if found is None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        return Identity(str(meta["uid"]), meta["name"], labels, owner)
    owner = {key: found[key] for key in ("apiVersion", "kind", "name", "uid")}
    node = _TRY.sub("", (meta.get("annotations") or {}).get(NODE_NAME) or meta["name"])
    return Identity(f"{owner['uid']}/{node}", meta["name"], {**labels, UID_LABEL: owner["uid"]}, owner)


def of_files(output_file: str) -> Identity:
    """Return the identity of a launcher without a pod: each task of ``kfp.local`` has a folder of its own."""
    return Identity(output_file)
