# SPDX-License-Identifier: Apache-2.0
"""What composing may end in."""

from __future__ import annotations


class CompositionError(ValueError):
    """A function, a chain or its use is wrong; the message names it and says what to do."""
