# SPDX-License-Identifier: Apache-2.0
"""A chain while it is composed: functions, edges, endpoints. Pure: what it is becomes the spec of a DataFlow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from accelchain.api.common import Scalar
from accelchain.api.data_flow import PlacementRule
from accelchain.hera.accelerated import Accelerated
from accelchain.hera.errors import CompositionError


@dataclass(slots=True)
class Function:
    """A function of the chain."""

    name: str
    call: Accelerated[Any, Any]
    parameters: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where data enters or leaves the chain."""

    name: str
    uri: str | None = None
    """None: it is an artifact of the template."""
    credentials: str | None = None

    def address(self) -> dict[str, Any] | None:
        """Return the flow's address for it, None where an artifact gives it."""
        if self.uri is None:
            return None
        return {"uri": self.uri} | ({"credentialsRef": {"name": self.credentials}} if self.credentials else {})


@dataclass(slots=True)
class Draft:
    """What was composed so far."""

    functions: dict[str, Function] = field(default_factory=dict)
    connections: list[tuple[str, str]] = field(default_factory=list)
    inputs: dict[str, Endpoint] = field(default_factory=dict)
    outputs: dict[str, Endpoint] = field(default_factory=dict)

    def free_name(self, wanted: str) -> str:
        """Return the name, with a number behind it where it is taken."""
        if wanted not in self.functions:
            return wanted
        return next(name for i in itertools.count(2) if (name := f"{wanted}-{i}") not in self.functions)

    def chain(self) -> dict[str, Any]:
        """Return the FunctionChainSpec as JSON."""
        chain: dict[str, Any] = {
            "inputs": [{"name": name} for name in self.inputs],
            "outputs": [{"name": name} for name in self.outputs],
            "functions": [_function(function) for function in self.functions.values()],
            "connections": [{"from": source, "to": target} for source, target in self.connections],
        }
        return {name: value for name, value in chain.items() if value}

    def rules(self, general: Iterable[PlacementRule]) -> list[PlacementRule]:
        """Return the chain's placement rules and then those of single functions."""
        own = (function.call.settings.rule(function.name) for function in self.functions.values())
        return [*general, *(rule for rule in own if rule is not None)]

    def rate(self, general: Scalar | None, chain: str) -> dict[str, Any] | None:
        """Return the declared load.

        Raises:
            CompositionError: a function has a rate and the chain has none.
        """
        own = [
            {"function": function.name, "framesPerSecond": function.call.settings.rate}
            for function in self.functions.values()
            if function.call.settings.rate is not None
        ]
        if general is None:
            if own:
                raise CompositionError(
                    f"chain '{chain}': function '{own[0]['function']}' has a rate and the chain has none: "
                    "give Chain(…, rate=…), the rate of all other functions."
                )
            return None
        return {"framesPerSecond": general} | ({"functions": own} if own else {})


def addresses(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return the addresses that are known as such."""
    return {name: address for name, end in endpoints.items() if (address := end.address()) is not None}


def _function(function: Function) -> dict[str, Any]:
    document: dict[str, Any] = {"name": function.name, "type": function.call.function_name}
    if function.call.version is not None:
        document["version"] = function.call.version
    if function.parameters:
        document["parameters"] = dict(function.parameters)
    return document
