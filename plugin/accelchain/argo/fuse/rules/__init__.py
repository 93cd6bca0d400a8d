# SPDX-License-Identifier: Apache-2.0
"""The fifteen rules: each is a function of a chain that yields what stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.rules.data import rule_06_unseen, rule_07_streams
from accelchain.argo.fuse.rules.ends import rule_08_ends
from accelchain.argo.fuse.rules.order import (
    rule_01_mapped,
    rule_02_alone,
    rule_03_no_loop,
    rule_04_no_condition,
    rule_05_no_reaction,
)
from accelchain.argo.fuse.rules.pods import rule_09_features, rule_10_volumes, rule_11_deadlines, rule_12_places
from accelchain.argo.fuse.rules.whole import rule_13_variables, rule_14_limits, rule_15_pure
from accelchain.argo.fuse.scope import Chain

RULES: Final[tuple[Callable[[Chain], Iterator[Stop]], ...]] = (
    rule_01_mapped,
    rule_02_alone,
    rule_03_no_loop,
    rule_04_no_condition,
    rule_05_no_reaction,
    rule_06_unseen,
    rule_07_streams,
    rule_08_ends,
    rule_09_features,
    rule_10_volumes,
    rule_11_deadlines,
    rule_12_places,
    rule_13_variables,
    rule_14_limits,
    rule_15_pure,
)


def stops(chain: Chain) -> Iterator[Stop]:
    """Yield all that stops a chain from being one DataFlow, by rule."""
    for rule in RULES:
        yield from rule(chain)
