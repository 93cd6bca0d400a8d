# SPDX-License-Identifier: Apache-2.0
"""What a SchedulingStrategy inherits."""

from __future__ import annotations

from collections.abc import Mapping

from accelchain.api.scheduling_strategy import SchedulingStrategy
from accelchain.chain.problems import choose


class LineageError(ValueError):
    """A strategy that does not exist, or that extends itself."""


def lineage(name: str | None, strategies: Mapping[str, SchedulingStrategy]) -> list[SchedulingStrategy]:
    """Return the strategy of that name and all that it extends, eldest last; None: nothing.

    Raises:
        LineageError: one of them is missing, or the line is a circle.
    """
    line: list[SchedulingStrategy] = []
    seen: list[str] = []
    while name is not None:
        if name in seen:
            circle = " → ".join([*seen[seen.index(name) :], name])
            raise LineageError(f"SchedulingStrategies extend one another in a circle ({circle}): end it.")
        if name not in strategies:
            heir = f", which '{seen[-1]}' extends" if seen else ""
            raise LineageError(f"there is no SchedulingStrategy '{name}'{heir}: {choose(name, strategies)}")
        seen.append(name)
        line.append(strategies[name])
        extends = strategies[name].spec.extends
        name = extends.name if extends is not None else None
    return line
