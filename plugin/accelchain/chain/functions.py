# SPDX-License-Identifier: Apache-2.0
"""Functions of a chain: their types and their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from accelchain.api.common import Scalar
from accelchain.api.data_flow import FunctionOverride
from accelchain.api.function_chain import ChainFunction
from accelchain.api.function_type import FunctionType
from accelchain.chain.catalog import Catalog, check_type
from accelchain.chain.environment import Environment, Sourced, normal_address
from accelchain.chain.problems import Problems, choose
from accelchain.chain.template import Template
from accelchain.chain.values import UNKNOWN, fault, fitted, is_address


@dataclass(frozen=True, slots=True)
class Draft:
    """A function whose type was found, with what is known of its parameters."""

    name: str
    path: str
    type: FunctionType
    values: Mapping[str, Sourced]
    """Values that fit, and UNKNOWN ones."""

    @property
    def parameters(self) -> dict[str, Scalar]:
        """The parameters that are known."""
        return {name: s.value for name, s in self.values.items() if s.value is not UNKNOWN}


def draft_functions(
    template: Template,
    catalog: Catalog,
    environment: Environment,
    overrides: Sequence[FunctionOverride],
    problems: Problems,
) -> dict[str, Draft]:
    """Find the type of every function and evaluate its parameters.

    Args:
        template: the chain.
        catalog: the function types that there are.
        environment: what references stand for.
        overrides: the flow's parameters for single functions; they go before the chain's.
        problems: where faults go.

    Returns:
        The functions whose type was found, by name, in the order of the chain.
    """
    by_function = _by_function(template, overrides, problems)
    drafts: dict[str, Draft] = {}
    for i, function in enumerate(template.spec.functions):
        path = template.function_path(i)
        type_ = catalog.find(function.type, function.version, path, problems)
        if type_ is None or function.name in drafts:
            continue
        problems.extend(check_type(type_))
        given = _given(function, path, by_function.get(function.name))
        drafts[function.name] = Draft(
            function.name, path, type_, _evaluate(function, path, type_, given, environment, problems)
        )
    _check_targets(drafts, problems)
    return drafts


def _by_function(
    template: Template, overrides: Sequence[FunctionOverride], problems: Problems
) -> dict[str, tuple[str, FunctionOverride]]:
    """Return the overrides by function, each with its field."""
    names = {function.name for function in template.spec.functions}
    result: dict[str, tuple[str, FunctionOverride]] = {}
    for i, override in enumerate(overrides):
        path = f"spec.functionParameters[{i}]"
        if override.function not in names:
            problems.add(
                "UnknownFunction",
                f"{path}.function",
                f"the chain has no function '{override.function}': {choose(override.function, names)}",
            )
        elif override.function in result:
            problems.add(
                "DuplicateName",
                f"{path}.function",
                f"function '{override.function}' is there already: make one of them.",
            )
        else:
            result[override.function] = (path, override)
    return result


def _given(
    function: ChainFunction, path: str, override: tuple[str, FunctionOverride] | None
) -> dict[str, tuple[Scalar, str]]:
    """Return the values as they stand in the chain or the flow, each with its field."""
    given = {name: (value, f"{path}.parameters.{name}") for name, value in function.parameters.items()}
    if override is not None:
        field, own = override
        given |= {name: (value, f"{field}.parameters.{name}") for name, value in own.parameters.items()}
    return given


def _evaluate(
    function: ChainFunction,
    path: str,
    type_: FunctionType,
    given: Mapping[str, tuple[Scalar, str]],
    environment: Environment,
    problems: Problems,
) -> dict[str, Sourced]:
    declared = {p.name: p for p in type_.spec.parameters}
    values: dict[str, Sourced] = {}
    for name, (value, field) in given.items():
        if name not in declared:
            problems.add(
                "UnknownParameter",
                field,
                f"function '{function.type}' has no parameter '{name}': {choose(name, declared)}",
            )
            continue
        sourced = environment.evaluate(value, field)
        if sourced.value is not UNKNOWN:
            fit = fitted(declared[name], sourced.value)
            message = fault(declared[name], fit)
            if message:
                user = "" if sourced.origin == field else f" (parameter '{name}' of function '{function.name}')"
                problems.add("InvalidParameter", sourced.origin, f"{message}{user}.")
            sourced = Sourced(UNKNOWN if message else fit, sourced.origin)
        values[name] = sourced
    for name, declaration in declared.items():
        if declaration.required and name not in given:
            problems.add(
                "InvalidParameter",
                f"{path}.parameters.{name}",
                f"function '{function.type}' requires this parameter: give it a value.",
            )
    return values


def _check_targets(drafts: Mapping[str, Draft], problems: Problems) -> None:
    """Check that no sink writes where another one writes, or where a function reads."""
    reads = {normal_address(address): (name, origin) for name, address, origin in _addresses(drafts, writes=False)}
    writes: dict[str, tuple[str, str]] = {}
    for name, address, origin in _addresses(drafts, writes=True):
        place = normal_address(address)
        writer, written_as = writes.setdefault(place, (name, origin))
        reader, read_from = reads.get(place, ("", ""))
        of_flow = origin.startswith("spec.outputs.")  # equal addresses of the flow itself were told already
        if reader and not (of_flow and read_from.startswith("spec.inputs.")):
            other = f"function '{reader}' reads from"
        elif writer != name and (not of_flow or origin == written_as):
            other = f"function '{writer}' writes to"
        else:
            continue
        problems.add("InvalidParameter", origin, f"{other} {address} too: give each its own.")


def _addresses(drafts: Mapping[str, Draft], *, writes: bool) -> Iterator[tuple[str, str, str]]:
    """Yield function, address and the field that it came from, of what functions read from or write to."""
    for draft in drafts.values():
        plain = "uri-input" if draft.type.spec.outputs else "uri-output"  # a parameter ``uri`` without a format
        for declaration in draft.type.spec.parameters:
            sourced = draft.values.get(declaration.name)
            if sourced is None or not isinstance(sourced.value, str) or not is_address(declaration):
                continue
            if ((declaration.format or plain) == "uri-output") == writes:
                yield draft.name, sourced.value, sourced.origin
