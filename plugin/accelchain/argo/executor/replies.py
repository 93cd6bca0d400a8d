# SPDX-License-Identifier: Apache-2.0
"""What the agent is answered: argoproj/argo-workflows v4.1.2, pkg/plugins/executor: ExecuteTemplateReply."""

from __future__ import annotations

from typing import Any, Literal

JsonObject = dict[str, Any]

LONGEST_MESSAGE = 1024
"""Bytes of UTF-8: every message is in the WorkflowTaskSet and in the Workflow."""


def foreign() -> JsonObject:
    """Not ours: the agent asks the next plugin."""
    return {}


def quiet(after: float | None) -> JsonObject:
    """Ours, and nothing new: the agent patches nothing, and asks again after so many seconds (None: never)."""
    if after is None:
        return {"node": {}}
    return {"node": {}, "requeue": f"{max(1, round(after * 1000))}ms"}


def ended(result: JsonObject) -> JsonObject:
    """The node's end. Without a requeue: the agent asks about a node that Failed again where it is given one."""
    return {"node": result}


def failure(phase: Literal["Failed", "Error"], message: str) -> JsonObject:
    """The node's end by a fault: of the user's (Failed) or not (Error)."""
    return ended({"phase": phase, "message": shortened(message)})


def shortened(message: str) -> str:
    """Return a message of at most ``LONGEST_MESSAGE`` bytes that can be written as UTF-8."""
    raw = message.encode("utf-8", "replace")
    if len(raw) <= LONGEST_MESSAGE:
        return raw.decode()
    return raw[: LONGEST_MESSAGE - 3].decode("utf-8", "ignore") + "…"
