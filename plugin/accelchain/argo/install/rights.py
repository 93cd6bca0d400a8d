# SPDX-License-Identifier: Apache-2.0
"""Who needs which rights in a namespace with workflows: what is granted, and what ``accelchain doctor`` looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role."""

    group: str
    resource: str
    verbs: tuple[str, ...]

    def to_dict(self) -> dict[str, list[str]]:
        """Return the rule as Kubernetes writes it."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{', '.join(self.verbs)} {self.resource}{group}"


PLUGIN_RULES: Final = (
    Rule("accelchain.io", "dataflows", ("get", "list", "watch", "create", "patch", "delete")),
    # startedAt of the node: argo retry asks for the same step in the same words
    Rule("argoproj.io", "workflows", ("get",)),
)
"""Of the plugin's own ServiceAccount: what its container in the agent's Pod calls."""

WORKFLOW_RULES: Final = (
    Rule("argoproj.io", "workflowtaskresults", ("create", "patch")),
    Rule("argoproj.io", "workflowtasksets", ("list", "watch")),
    Rule("argoproj.io", "workflowtasksets/status", ("patch",)),
    # the task-set operator makes what this account may make; a resource template makes it itself
    Rule("accelchain.io", "dataflows", ("create", "get")),
)
"""Of a workflow's ServiceAccount: what Argo's containers call, and what our steps are made in the name of."""

CONTROLLER_RULES: Final = (Rule("argoproj.io", "workflowtasksets/status", ("patch",)),)
"""Of Argo's controller. Its own roles lack this (v3.7 and v4.1): nodes that have ended stay in the TaskSet then, so the
Workflow is written again and again, and a node that ``argo retry`` begins anew fails at once by its old result."""
