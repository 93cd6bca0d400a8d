# SPDX-License-Identifier: Apache-2.0
"""The log: one line for each new fact about a node, none for a poll that finds nothing new."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from accelchain.argo.core.identity import WorkflowId
from accelchain_operators.kube.logs import working_on

logger = logging.getLogger("accelchain.argo")


class Facts:
    """What was told of one Workflow's nodes."""

    def __init__(self, id: WorkflowId) -> None:
        self._id = id
        self._told: dict[str, str] = {}

    def tell(self, node: str, flow: str, text: str, *, level: int = logging.INFO) -> None:
        """Write a line, unless it is what was told of this node last.

        Args:
            node: The node's full name, or its template's name where that is not known.
            flow: The DataFlow's name; empty where it has none.
            text: The fact.
            level: Of the logging module.
        """
        if not text or self._told.get(node) == text:
            return
        self._told[node] = text
        about = {"namespace": self._id.namespace, "workflow": self._id.name, "node": node, "dataflow": flow}
        with working_on(lambda: _printable(about)):
            logger.log(level, "%s", text.encode("utf-8", "replace").decode())


def _printable(about: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields without halves of surrogate pairs, which JSON may hold and no stream takes."""
    return {key: value.encode("utf-8", "replace").decode() for key, value in about.items()}
