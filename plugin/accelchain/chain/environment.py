# SPDX-License-Identifier: Apache-2.0
"""What references stand for: the values and addresses that a flow gives to its chain."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from accelchain.api.common import Scalar
from accelchain.api.data_flow import Address, DataFlowSpec
from accelchain.api.function_chain import Endpoint
from accelchain.chain.problems import Problems, choose
from accelchain.chain.references import MalformedReferenceError, Reference, as_text, parse
from accelchain.chain.template import Template
from accelchain.chain.values import UNKNOWN, Value, address_fault, fault, fitted


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value and the field that it came from."""

    value: Value
    origin: str


class Environment:
    """Looks references up. Without a flow (a chain is checked for itself) what nobody gave is UNKNOWN, no problem."""

    def __init__(self, template: Template, flow: DataFlowSpec | None, problems: Problems) -> None:
        self._template = template
        self._problems = problems
        self._flow = flow
        self._parameters = _parameters(template, flow, problems)
        self._declared: Mapping[str, set[str]] = {
            "parameters": {p.name for p in template.spec.parameters},
            "inputs": {e.name for e in template.spec.inputs},
            "outputs": {e.name for e in template.spec.outputs},
        }
        if flow is not None:
            _check_addresses(flow.inputs, template.spec.inputs, "inputs", problems)
            _check_addresses(flow.outputs, template.spec.outputs, "outputs", problems)
            _check_targets(flow, problems)

    def evaluate(self, value: Scalar, path: str) -> Sourced:
        """Return a parameter's value with references replaced, and its origin.

        A reference that is the whole value keeps its type. What can't be evaluated becomes a problem, and UNKNOWN.

        Args:
            value: as it stands in the chain.
            path: the field that holds it.
        """
        if not isinstance(value, str):
            return Sourced(value, path)
        try:
            parts = parse(value)
        except MalformedReferenceError as error:
            self._problems.add("InvalidParameter", path, str(error))
            return Sourced(UNKNOWN, path)
        found = [self._look_up(part, path) for part in parts if isinstance(part, Reference)]
        if len(parts) == 1 and found:
            return found[0]
        origin = found[0].origin if len(found) == 1 else path
        text, rest = "", iter(found)
        for part in parts:
            piece = part if isinstance(part, str) else next(rest).value
            if piece is UNKNOWN:
                return Sourced(UNKNOWN, origin)
            text += as_text(piece)
        return Sourced(text, origin)

    def _look_up(self, reference: Reference, path: str) -> Sourced:
        kind, name = reference.kind, reference.name
        if name not in self._declared[kind]:
            self._problems.add(
                "UnknownParameter",
                path,
                f"{reference}: the chain declares no {kind.removesuffix('s')} '{name}': "
                f"{choose(name, self._declared[kind])}",
            )
            return Sourced(UNKNOWN, path)
        if kind == "parameters":
            return self._parameter(name, path)
        return self._address(kind, name, path)

    def _parameter(self, name: str, path: str) -> Sourced:
        sourced = self._parameters.get(name)
        if sourced is not None:
            return sourced
        if self._flow is not None:
            self._problems.add(
                "InvalidParameter", f"spec.parameters.{name}", "the chain uses this parameter: give it a value."
            )
        return Sourced(UNKNOWN, path)

    def _address(self, kind: str, name: str, path: str) -> Sourced:
        if self._flow is None:
            return Sourced(UNKNOWN, path)
        address = (self._flow.inputs if kind == "inputs" else self._flow.outputs).get(name)
        if address is None:
            reason, what = ("MissingInput", "reads") if kind == "inputs" else ("MissingOutput", "writes")
            self._problems.add(
                reason,
                f"spec.{kind}.{name}",
                f"the chain {what} this {kind.removesuffix('s')}: give its address (uri).",
            )
            return Sourced(UNKNOWN, path)
        origin = f"spec.{kind}.{name}.uri"
        return Sourced(UNKNOWN if address_fault(address.uri) else address.uri, origin)


def _parameters(template: Template, flow: DataFlowSpec | None, problems: Problems) -> dict[str, Sourced]:
    """Return the values of the chain's parameters: the flow's, else the defaults. Wrong ones are UNKNOWN."""
    declared = {p.name: p for p in template.spec.parameters}
    given = flow.parameters if flow is not None else {}
    values: dict[str, Sourced] = {}
    for i, declaration in enumerate(template.spec.parameters):
        if declaration.default is not None:
            values[declaration.name] = Sourced(declaration.default, f"{template.path}.parameters[{i}].default")
        elif flow is not None and declaration.required and declaration.name not in given:
            field = f"spec.parameters.{declaration.name}"
            problems.add("InvalidParameter", field, "the chain requires this parameter: give it a value.")
            values[declaration.name] = Sourced(UNKNOWN, field)
    for name, value in given.items():
        field = f"spec.parameters.{name}"
        if name not in declared:
            problems.add("UnknownParameter", field, f"the chain has no parameter '{name}': {choose(name, declared)}")
            continue
        fit = fitted(declared[name], value)
        message = fault(declared[name], fit)
        if message:
            problems.add("InvalidParameter", field, f"{message}.")
        values[name] = Sourced(UNKNOWN if message else fit, field)
    return values


def _check_addresses(given: Mapping[str, Address], declared: list[Endpoint], kind: str, problems: Problems) -> None:
    names = [endpoint.name for endpoint in declared]
    for name, address in given.items():
        if name not in names:
            problems.add(
                "UnknownParameter",
                f"spec.{kind}.{name}",
                f"the chain has no {kind.removesuffix('s')} '{name}': {choose(name, names)}",
            )
        elif message := address_fault(address.uri):
            problems.add("InvalidParameter", f"spec.{kind}.{name}.uri", f"{message}.")


def _check_targets(flow: DataFlowSpec, problems: Problems) -> None:
    """Check that no output goes where another output goes, or where an input is read from."""
    taken = {normal_address(address.uri): f"input '{name}'" for name, address in flow.inputs.items()}
    for name, address in flow.outputs.items():
        place = normal_address(address.uri)
        if place in taken:
            problems.add(
                "InvalidParameter",
                f"spec.outputs.{name}.uri",
                f"{address.uri} is the address of {taken[place]} too: give each its own.",
            )
        taken.setdefault(place, f"output '{name}'")


def normal_address(uri: str) -> str:
    """Return a form of an address that is equal for equal places."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "file":
        return uri
    return f"file://{posixpath.normpath(unquote(parts.path))}"
