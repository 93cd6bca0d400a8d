# SPDX-License-Identifier: Apache-2.0
"""What an author can't write."""

from __future__ import annotations


class AuthoringError(ValueError):
    """One sentence a line: the component, chain or task, what is wrong with it, and what to do."""
