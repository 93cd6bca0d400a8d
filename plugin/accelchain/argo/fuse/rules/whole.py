# SPDX-License-Identifier: Apache-2.0
"""Rules 13 to 15: variables, limits of the workflow, and what functions are declared to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from accelchain.argo.fuse.leaf import Leaf, named
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.scope import Chain, Step
from accelchain.argo.fuse.tags import tags, texts
from accelchain.argo.fuse.values import VARIABLE, has_value, value_of

_OF_ANOTHER: Final = re.compile(r"(?:tasks|steps)\.[^\s.]+\.\S+")
"""An output of a step; rules 6 and 7 look at which."""
_OF_ONE_STEP: Final = re.compile(
    r"""(?<![\w.'"])(?:
        (?:pod|node|retries|lastRetry|item)\b
        |(?:tasks|steps)\s*(?:\.\s*name\b|\[\s*['"`]name)
        |workflow\b(?!\s*\.\s*(?:name|namespace|uid|serviceAccountName|mainEntrypoint|priority|scheduledTime
            |parameters|labels|annotations|creationTimestamp|outputs)\b)
        )
        |\$env\b
        |\b(?:now|ago|rand\w*|uuidv4|shuffle|gen[A-Z]\w*|bcrypt|htpasswd|encryptAES|getHostByName|env|expandenv)\s*\(""",
    re.VERBOSE,
)
"""Parts of expressions that are something else for each step, at another time, or each time."""
_OUTPUTS: Final = re.compile(r"\bworkflow\s*\.\s*outputs\b")
_ITEM: Final = re.compile(r"item(?:\..*)?", re.DOTALL)


def rule_13_variables(chain: Chain) -> Iterator[Stop]:
    """A step's arguments are known when the chain starts, and the same in a DataFlow as in a Pod."""
    yield from _where_called(chain)
    for step, leaf in chain.leaves():
        for tag in dict.fromkeys(_tags_of(step, leaf, last=step is chain.members[-1])):
            known = VARIABLE.fullmatch(tag)
            if known is None:
                yield Stop(13, step.name, f"{{{{{tag[:60]}}}}} is something else in a DataFlow, or unknown.")
            elif known["parameter"] is not None:
                yield from _value(step, known["parameter"])
        if any("$(" in text for _, text in texts([_container(step).get("command"), _container(step).get("args")])):
            yield Stop(13, step.name, "its command line holds $(…), which Kubernetes replaces.")
        elif any("$(" in value for value in leaf.parameters.values()):
            yield Stop(13, step.name, "one of its parameters holds $(…), which a DataFlow replaces.")


def _where_called(chain: Chain) -> Iterator[Stop]:
    """Check what the calls say beside parameters: the first one's condition, and where artifacts lie."""
    first = chain.members[0]
    if len(chain.members) > 1 and any(_is_of_one_step(tag) for tag in tags(first.call.get("when"))):
        yield Stop(13, first.name, "its condition (when) is not the same for a chain.")
    for step, leaf in chain.leaves():
        given = [artifact for name, artifact in step.artifacts.items() if name in leaf.reads.values()]
        for artifact in given:
            for tag in tags({key: value for key, value in artifact.items() if key != "from"}):
                if not _is_known_before(tag, argument=True):
                    yield Stop(13, step.name, f"its artifact '{artifact['name']}' lies at {{{{{tag[:60]}}}}}, "
                               "which is not the same before it starts.")  # fmt: skip
        if step is not first and any(_OUTPUTS.search(tag) for tag in tags([step.call, step.template])):
            yield Stop(13, step.name, "it needs workflow.outputs, which others may fill while the chain runs.")


def _is_of_one_step(tag: str) -> bool:
    return bool(_OF_ONE_STEP.search(tag.removeprefix("=")))


def _container(step: Step) -> Any:
    return step.template.get("container") or step.template.get("script") or {}


def _tags_of(step: Step, leaf: Leaf, *, last: bool) -> Iterator[str]:
    yield from tags(dict(leaf.parameters))
    yield from tags(_container(step))
    for side, names in (("inputs", leaf.reads.values()), ("outputs", leaf.writes.values())):
        yield from tags(
            [artifact for name, artifact in named(step.template, side, "artifacts").items() if name in names]
        )
    if last:
        for parameter in named(step.template, "outputs", "parameters").values():
            kept = {key: value for key, value in parameter.items() if key not in ("value", "valueFrom")}
            yield from tags([kept, (parameter.get("valueFrom") or {}).get("default")])


def _value(step: Step, name: str) -> Iterator[Stop]:
    """Check where a parameter's value comes from."""
    declared = named(step.template, "inputs", "parameters").get(name)
    value = value_of(step, name)
    if declared is None:
        yield Stop(13, step.name, f"its template has no input parameter '{name}'.")
    elif value is None:
        yield Stop(13, step.name, f"its parameter '{name}' has no value that is known when it starts.")
    elif "$(" in value:
        yield Stop(13, step.name, f"its parameter '{name}' holds $(…), which a DataFlow replaces.")
    elif any(_ITEM.fullmatch(tag) for tag in tags(value)):
        yield Stop(13, step.name, f"its parameter '{name}' is an item of a loop.")
    else:
        for tag in dict.fromkeys(tags(value)):
            if not _is_known_before(tag, argument=has_value(step.parameters.get(name))):
                message = f"its parameter '{name}' is {{{{{tag[:60]}}}}}, which is not the same before it starts."
                yield Stop(13, step.name, message)


def _is_known_before(tag: str, *, argument: bool) -> bool:
    """Tell whether a variable of a value means the same where the step is called, and for a whole chain.

    Args:
        tag: what is between the braces.
        argument: the value is given by the call; else it is a default, where ``inputs`` are the step's own.
    """
    if argument and tag.startswith("="):
        return _OF_ONE_STEP.search(tag) is None
    known = VARIABLE.fullmatch(tag)
    if known is None:
        return argument and _OF_ANOTHER.fullmatch(tag) is not None
    return tag.startswith("workflow.") or (argument and known["parameter"] is not None)


def rule_14_limits(chain: Chain) -> Iterator[Stop]:
    """Nothing counts Pods: Argo does not count steps of plugins."""
    scope = chain.scope
    if scope.spec.get("parallelism") is not None:
        yield Stop(14, chain.names[0], "the workflow limits its parallelism, and Argo counts only Pods.")
    for name in scope.limits:
        yield Stop(14, chain.names[0], f"template '{name}' limits its parallelism, and Argo counts only Pods.")
    if scope.template.get("failFast") is False or (scope.template.get("dag") or {}).get("failFast") is False:
        yield Stop(14, chain.names[0], f"template '{scope.name}' goes on after a failure (failFast: false).")


def rule_15_pure(chain: Chain) -> Iterator[Stop]:
    """Functions do nothing but what their ports say, and there is an implementation of each."""
    for step, leaf in chain.leaves():
        if leaf.side_effects:
            yield Stop(15, step.name, "it is declared to have side effects (accelchain.io/side-effects).")
        if leaf.unsound:
            yield Stop(15, step.name, f"its function can't be used: {leaf.unsound}")
