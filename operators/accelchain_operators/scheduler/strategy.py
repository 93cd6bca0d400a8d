# SPDX-License-Identifier: Apache-2.0
"""What a placement costs: a SchedulingStrategy with everything that it inherits.

Costs are whole nanoseconds, so that sums do not depend on their order and equal inputs give equal placements.

========== ======= ==============================================================================================
score      default unit at weight 1
========== ======= ==============================================================================================
Links      1       time of a frame on the edges
Load       1       1 ms for a whole device: what others reserved of it, the share of its places that they hold,
                   and the function's own share
Packing    0       1 ms for every device that nobody used before
Preference 1       0.2 ms for every implementation that the function's author put before this one; 1 ms for a CPU,
                   so that a function which can run on an accelerator does unless the way there costs more
========== ======= ==============================================================================================

A strategy that lists scores gives those that it leaves out the weight 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelchain.api.scheduling_strategy import FILTERS, SchedulingStrategy
from accelchain.chain.lineage import lineage

LOAD_NS = 1_000_000
"""A whole device's load."""
PACKING_NS = 1_000_000
"""A device taken into use."""
RANK_NS = 200_000
"""A place further down in the order of implementations."""
CPU_NS = 1_000_000
"""A CPU in place of an accelerator."""
DEFAULT_SCORES: Mapping[str, float] = {"Links": 1.0, "Load": 1.0, "Packing": 0.0, "Preference": 1.0}
DEFAULT_MAX_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Strategy:
    """Weights and bounds of one search."""

    links: float = DEFAULT_SCORES["Links"]
    load: float = DEFAULT_SCORES["Load"]
    packing: float = DEFAULT_SCORES["Packing"]
    preference: float = DEFAULT_SCORES["Preference"]
    memory: bool = True
    """Whether the memory of devices is counted."""
    candidates: int | None = None
    """Devices that are looked at for a function within each set of linked devices (a node); None: all."""
    max_steps: int = DEFAULT_MAX_STEPS

    @classmethod
    def resolve(cls, name: str | None, strategies: Mapping[str, SchedulingStrategy]) -> Strategy:
        """Return the strategy of that name with all that it inherits; None: the default.

        Raises:
            LineageError: it or an ancestor is missing, or the inheritance is a circle.
        """
        specs = [strategy.spec for strategy in lineage(name, strategies)]
        scores = next((spec.scores for spec in specs if spec.scores is not None), None)
        filters = next((spec.filters for spec in specs if spec.filters is not None), FILTERS)
        weights = DEFAULT_SCORES if scores is None else {score.name: score.weight for score in scores}
        return cls(
            links=weights.get("Links", 0.0),
            load=weights.get("Load", 0.0),
            packing=weights.get("Packing", 0.0),
            preference=weights.get("Preference", 0.0),
            memory="Memory" in filters,
            candidates=next((spec.candidates for spec in specs if spec.candidates is not None), None),
            max_steps=next((spec.max_steps for spec in specs if spec.max_steps is not None), DEFAULT_MAX_STEPS),
        )


DEFAULT = Strategy()
"""What holds where a flow names no strategy."""
