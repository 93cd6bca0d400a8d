# SPDX-License-Identifier: Apache-2.0
"""Rules 1 to 5: what the steps are, and when Argo starts them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.scope import Chain, Scope, Step

_LOOPS: Final = ("withItems", "withParam", "withSequence")
_REACTIONS: Final = ("continueOn", "hooks", "onExit")


def rule_01_mapped(chain: Chain) -> Iterator[Stop]:
    """Every step is a container or a script that somebody said the function of."""
    for member in chain.members:
        if member.fault is not None:
            yield member.fault


def rule_02_alone(chain: Chain) -> Iterator[Stop]:
    """Every step follows the one before it and nothing else, and has one follower."""
    scope = chain.scope
    for first, second in chain.pairs:
        if scope.follows(second) != first.name:
            yield Stop(2, second.name, _not_alone(scope, first, second))
        elif scope.kind == "dag":
            yield from _followed_otherwise(scope, first, second)
    if scope.kind != "dag":
        return
    targets = str(scope.template["dag"].get("target") or "")
    for name in chain.names[:-1]:
        if name in targets.split() or "{{" in targets:
            yield Stop(2, name, "it is a target of the dag, so it has to be a step of its own.")
    if len(chain.members) > 1:
        yield from _failures_watched(chain)


def _not_alone(scope: Scope, first: Step, second: Step) -> str:
    if scope.kind == "steps":
        return f"it does not follow '{first.name}' alone: both have to be groups of one step, one after the other."
    return f"it depends on more than '{first.name}', or on something else."


def _followed_otherwise(scope: Scope, first: Step, second: Step) -> Iterator[Stop]:
    others = [name for name in scope.after[first.name] if name != second.name]
    if others:
        yield Stop(2, first.name, f"'{others[0]}' depends on it as well as '{second.name}'.")
    depends = second.call.get("depends")
    plain = rf"\s*{re.escape(first.name)}(\.Succeeded)?\s*"
    if depends is not None and not re.fullmatch(plain, str(depends)):
        yield Stop(2, second.name, f"it depends on '{str(depends)[:60]}', and not just on '{first.name}' to succeed.")


def _failures_watched(chain: Chain) -> Iterator[Stop]:
    """A step whose chain fails early is Omitted, and one of a DataFlow that fails is Failed."""
    scope, last = chain.scope, chain.names[-1]
    for name in scope.after[last]:
        depends = str(scope.steps[name].call.get("depends") or "")
        states = [word.partition(".")[2] for word in scope.before[name] if word.partition(".")[0] == last]
        if "!" in depends or any(state not in ("", "Succeeded") for state in states):
            yield Stop(2, last, f"'{name}' runs by how it ends ({depends[:60]}), which is not the same for a chain.")


def rule_03_no_loop(chain: Chain) -> Iterator[Stop]:
    """No step is looped over; the template around may be."""
    for member in chain.members:
        for loop in _LOOPS:
            if member.call.get(loop) is not None:
                yield Stop(3, member.name, f"it is looped over ({loop}): loop over the template around it.")


def rule_04_no_condition(chain: Chain) -> Iterator[Stop]:
    """Only the first step has a condition, and where that is false nothing else happens than that all is left out."""
    for member in chain.members[1:]:
        if member.call.get("when") is not None:
            yield Stop(4, member.name, "it has a condition (when) within the chain.")
    first, last = chain.members[0], chain.members[-1]
    if first.call.get("when") is None or len(chain.members) == 1:
        return
    second, scope = chain.members[1], chain.scope
    if scope.kind == "steps" or not str(second.call.get("depends") or "").strip().endswith(".Succeeded"):
        yield Stop(
            4,
            first.name,
            f"where its condition (when) is false, '{second.name}' runs all the same and fails"
            + (f": write depends: {first.name}.Succeeded." if scope.kind == "dag" else "."),
        )
    elif scope.after[last.name]:
        follower = scope.after[last.name][0]
        yield Stop(
            4,
            first.name,
            f"where its condition (when) is false, '{follower}' is left out, and after a DataFlow it would run.",
        )
    elif next(scope.mentioned(last.name, but=chain.names), None):
        yield Stop(4, first.name, f"where its condition (when) is false, others see '{last.name}' as left out.")


def rule_05_no_reaction(chain: Chain) -> Iterator[Stop]:
    """No step has hooks, an exit handler or goes on after a failure; none is part of an exit handler."""
    if chain.scope.exits:
        yield Stop(5, chain.names[0], f"template '{chain.scope.name}' runs as an exit handler or a hook.")
    for member in chain.members:
        for reaction in _REACTIONS:
            if member.call.get(reaction) is not None:
                yield Stop(5, member.name, f"it has {reaction}.")
