# SPDX-License-Identifier: Apache-2.0
"""A composed chain against the types of its functions, before anything is submitted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from accelchain.api.common import Scalar
from accelchain.api.data_flow import DataFlowSpec, PlacementRule
from accelchain.api.function_chain import FunctionChainSpec
from accelchain.api.function_type import FunctionType
from accelchain.argo.core.unknown import is_unknown
from accelchain.chain.catalog import Catalog
from accelchain.chain.connections import find_edges, order_functions
from accelchain.chain.environment import Environment
from accelchain.chain.functions import draft_functions
from accelchain.chain.problems import Problems
from accelchain.chain.resolved import Problem
from accelchain.chain.rules import check_rules
from accelchain.chain.template import Template, check_names
from accelchain.hera.draft import Draft
from accelchain.hera.errors import CompositionError

_PLACE = re.compile(r"chain\.functions\[(\d+)\](?:\.parameters\.([-\w]+))?")
_UNKNOWN_PARAMETER = "filled-in-by-argo"


def check_draft(draft: Draft, name: str, types: Sequence[FunctionType], rules: Sequence[PlacementRule]) -> None:
    """Check a chain: ports, types of ports, parameters, open inputs, unused endpoints, placement.

    Args:
        draft: the chain.
        name: its name, for messages.
        types: the types of its functions.
        rules: its placement rules.

    Raises:
        CompositionError: with everything that is wrong, a line each.
    """
    _check_uses(draft, name)
    try:
        spec = FunctionChainSpec.model_validate(_without_unknown(draft.chain()))
    except ValidationError as error:
        lines = (f"chain '{name}': {'.'.join(map(str, e['loc']))}: {e['msg']}." for e in error.errors())
        raise CompositionError("\n".join(lines)) from error
    problems, template = Problems(), Template(spec, "chain")
    check_names(template, problems)
    drafts = draft_functions(template, Catalog(types), Environment(template, None, problems), (), problems)
    find_edges(template, drafts, problems)
    order_functions(template, problems)
    check_rules(
        DataFlowSpec.model_validate({"placement": {"rules": [rule.to_dict() for rule in rules]}}),
        template,
        drafts,
        problems,
    )
    if found := problems.found():
        raise CompositionError("\n".join(_line(problem, draft, name) for problem in found))


def _check_uses(draft: Draft, name: str) -> None:
    if not draft.functions:
        raise CompositionError(f"chain '{name}' has no functions: call accelerated functions in its `with` block.")
    for kind, endpoints in (("input", draft.inputs), ("output", draft.outputs)):
        for endpoint in endpoints:
            reference = f"$({kind}s.{endpoint}.uri)"
            users = [n for n, function in draft.functions.items() if _uses(function.parameters.values(), reference)]
            if kind == "output" and len(users) > 1:
                raise CompositionError(
                    f"chain '{name}': output '{endpoint}' is written by {' and '.join(map(repr, users))}: "
                    "give each an output of its own."
                )
            if not users:
                user = "source" if kind == "input" else "sink"
                raise CompositionError(
                    f"chain '{name}': {kind} '{endpoint}' is used by no function: "
                    f"give it to a {user} (uri=chain.{kind}('{endpoint}')), or remove it."
                )


def _uses(values: Iterable[Scalar], reference: str) -> bool:
    return any(isinstance(value, str) and reference in value for value in values)


def _without_unknown(chain: dict[str, Any]) -> dict[str, Any]:
    """Return the chain with a parameter that has no value yet wherever Argo fills one in."""
    functions = [
        function
        | {
            "parameters": {
                name: f"$(parameters.{_UNKNOWN_PARAMETER})" if is_unknown(value) else value
                for name, value in function.get("parameters", {}).items()
            }
        }
        for function in chain["functions"]
    ]
    return chain | {"functions": functions, "parameters": [{"name": _UNKNOWN_PARAMETER}]}


def _line(problem: Problem, draft: Draft, name: str) -> str:
    where = f"chain '{name}'"
    if found := _PLACE.match(problem.path):
        where += f", function '{list(draft.functions)[int(found[1])]}'"
        where += f", parameter '{found[2]}'" if found[2] else ""
    elif problem.path.startswith("spec."):
        where += f", {problem.path.removeprefix('spec.')}"
    return f"{where}: {problem.message}"
