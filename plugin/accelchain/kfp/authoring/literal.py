# SPDX-License-Identifier: Apache-2.0
"""Fixed values in marks."""

from __future__ import annotations

from dataclasses import dataclass

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is the same for every task of a component."""

    value: Scalar


def literal(value: Scalar) -> Literal:
    """Return a fixed value for ``parameters`` or ``addresses``; a bare string there is a name of the component's."""
    return Literal(value)
