# SPDX-License-Identifier: Apache-2.0
"""How a launcher ends: exit codes, and one sentence for what went wrong."""

from __future__ import annotations

from typing import Final

SUCCEEDED: Final = 0
FAILED: Final = 1
WRONG_INPUT: Final = 2


class LaunchError(Exception):
    """The task can't go on; the message is one sentence for the pipeline's author or the cluster's administrator."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        """Keep the message and the exit code."""
        super().__init__(message)
        self.code = code
