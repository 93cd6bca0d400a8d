# SPDX-License-Identifier: Apache-2.0
"""Rules 6 and 7: what goes from step to step, and who else looks at it."""

from __future__ import annotations

from collections.abc import Iterator

from accelchain.argo.fuse.leaf import Leaf, named
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.scope import Chain, Step, Use
from accelchain.argo.fuse.tags import ANY, mentions

_HANDED_ON = ("outputs.artifacts.", "outputs.parameters.")


def rule_06_unseen(chain: Chain) -> Iterator[Stop]:
    """Nothing outside the chain looks at its inner steps; of the last one only outputs are looked at."""
    scope = chain.scope
    if scope.tells_failures and len(chain.members) > 1:
        yield Stop(6, chain.names[0], "the document uses workflow.failures, which would not name it any more.")
    if scope.spec.get("artifactGC") is not None:
        yield Stop(6, chain.names[0], "the workflow deletes artifacts (artifactGC).")
    for name in chain.names[:-1]:
        for use in scope.mentioned(name, but=chain.names):
            yield Stop(6, name, _seen(use))
    for use in scope.mentioned(chain.names[-1], but=chain.names[:-1]):
        if use.step == ANY or not use.what.startswith(_HANDED_ON):
            yield Stop(6, chain.names[-1], _seen(use))
    for member, _ in chain.leaves():
        for artifact in named(member.template, "outputs", "artifacts").values():
            if artifact.get("artifactGC") is not None:
                yield Stop(6, member.name, f"its artifact '{artifact['name']}' is deleted by Argo (artifactGC).")
        for kind in ("parameters", "artifacts"):
            for output in named(member.template, "outputs", kind).values():
                # argoproj/argo-workflows v4.1.2, operator.go: podReconciliation makes them global, for Pods alone
                if output.get("globalName"):
                    yield Stop(6, member.name, f"its output '{output['name']}' is global ({output['globalName']}).")


def _seen(use: Use) -> str:
    by = f"'{use.by}'" if use.by else "the template around it, or a hook,"
    if use.step == ANY:
        return f"{by} has an expression that may speak of any step."
    return f"{by} uses its {use.what or 'state'}."


def rule_07_streams(chain: Chain) -> Iterator[Stop]:
    """Each step hands its follower frames that nobody else needs, and nothing else."""
    for first, second in chain.pairs:
        if first.leaf is None or second.leaf is None:
            continue
        edges = [
            source for a in second.leaf.inputs.values() if (source := second.source(a)) and source[0] == first.name
        ]
        if not edges:
            yield Stop(7, second.name, _not_handed_on(first, second))
        for artifact in dict.fromkeys(artifact for _, artifact in edges):
            yield from _handed_on(first, second, first.leaf, artifact, edges.count((first.name, artifact)))
        for artifact in second.leaf.inputs.values():
            source = second.source(artifact)
            if source is None or source[0] != first.name:
                yield Stop(7, second.name, f"its artifact '{artifact}' does not come from '{first.name}'.")
        yield from _written(first, first.leaf)
    yield from _used_within(chain)


def _not_handed_on(first: Step, second: Step) -> str:
    """Say why no artifact of one step is an input of its follower as it is."""
    for name, argument in second.artifacts.items():
        if any(mention.step in (first.name, ANY) for mention in mentions(argument)):
            beside = [key for key in argument if key not in ("name", "from")]
            what = f"has {' and '.join(beside)}" if beside else "is no plain variable"
            return f"its artifact '{name}' {what}: a DataFlow hands on what '{first.name}' gives as it is."
    return f"no artifact goes from '{first.name}' into one of its inputs."


def _handed_on(first: Step, second: Step, leaf: Leaf, artifact: str, times: int) -> Iterator[Stop]:
    if artifact not in leaf.outputs.values():
        yield Stop(
            7, first.name, f"its artifact '{artifact}', which '{second.name}' takes, is no output of its function."
        )
    if times > 1:
        yield Stop(7, second.name, f"it takes artifact '{artifact}' of '{first.name}' twice.")


def _written(step: Step, leaf: Leaf) -> Iterator[Stop]:
    """Check what a step in the chain leaves behind."""
    for artifact in leaf.outputs.values():
        if artifact not in leaf.ephemeral:
            hint = f"annotate its template with accelchain.io/ephemeral: {artifact}"
            yield Stop(7, step.name, f"its artifact '{artifact}' may be needed by others: {hint} where it is not.")
    if leaf.writes_something:
        yield Stop(7, step.name, "it writes an output of its own, within the chain.")


def _used_within(chain: Chain) -> Iterator[Stop]:
    """Check what the chain's steps say of each other: nothing but the artifacts that they hand on."""
    for i, step in enumerate(chain.members):
        for use in chain.scope.mentioned(step.name, but=()):
            if use.by not in chain.names:
                continue
            user = chain.members[chain.names.index(use.by)]
            follows = i + 1 < len(chain.members) and user is chain.members[i + 1]
            edges = [user.source(a) for a in (user.leaf.inputs.values() if user.leaf else ())]
            artifact = use.what.removeprefix("outputs.artifacts.")
            if use.step == ANY or not follows or (step.name, artifact) not in edges:
                yield Stop(7, user.name, f"its arguments need {use.what or 'the state'} of '{step.name}' to start.")
            elif sum(o == use for o in chain.scope.mentioned(step.name, but=())) > edges.count((step.name, artifact)):
                yield Stop(7, user.name, f"it uses artifact '{artifact}' of '{step.name}' more than once.")
