# SPDX-License-Identifier: Apache-2.0
"""What a component's process can't go on with."""

from __future__ import annotations


class StepError(Exception):
    """The message is one sentence for the component's user."""

    def __init__(self, message: str, code: int = 2) -> None:
        """Keep the message.

        Args:
            message: what is wrong, and what to do.
            code: exit code: 2 where the input is wrong, 1 where the function told something else than was expected.
        """
        super().__init__(message)
        self.code = code
