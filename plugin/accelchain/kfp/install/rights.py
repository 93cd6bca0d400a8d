# SPDX-License-Identifier: Apache-2.0
"""Who needs which rights where pipelines run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Of the objects that it is about; empty: all."""

    def to_dict(self) -> dict[str, list[str]]:
        """Return the rule as Kubernetes writes it."""
        names = {"resourceNames": list(self.names)} if self.names else {}
        return {"apiGroups": [self.group], "resources": [self.resource], **names, "verbs": list(self.verbs)}


LAUNCHER_RULES: Final = (
    # patch: the heartbeat
    Rule("accelchain.io", "dataflows", ("get", "list", "watch", "create", "patch", "delete")),
    # where functions run and what they did, for the log and the metrics
    Rule("accelchain.io", "wbfunctions", ("list", "watch")),
    Rule("accelchain.io", "wbconnections", ("list", "watch")),
    # its own Pod, whose controller becomes the flow's owner, and those of the flow's workers with their logs
    Rule("", "pods", ("get", "list", "watch")),
    Rule("", "pods/log", ("get",)),
    # where artifacts are, and by which Secret workers read and write them
    Rule("", "configmaps", ("get",), names=("kfp-launcher",)),
)
"""Of the ServiceAccount that a pipeline's Pods run as: what the launcher calls."""

VIEW_RULES: Final = tuple(
    Rule("accelchain.io", resource, ("get", "list", "watch"))
    for resource in ("dataflows", "functionchains", "wbfunctions", "wbconnections")
)
"""Of people who may look at a profile."""
