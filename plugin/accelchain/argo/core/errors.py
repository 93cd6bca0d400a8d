# SPDX-License-Identifier: Apache-2.0
"""What the author of a step did wrong."""

from __future__ import annotations


class StepError(Exception):
    """The author's fault: the node is Failed with ``str(error)``.

    Attributes:
        path: the template's field at fault, such as ``plugin.accelchain.dataflow.mode``.
        message: one sentence that says what to do.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
