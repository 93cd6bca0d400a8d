# SPDX-License-Identifier: Apache-2.0
"""A flow after validation: every name resolved, every parameter a value, nothing left to look up.

The scheduler places it, the reconciler makes the individual layer and the plan of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accelchain.api.common import Scalar
from accelchain.api.data_flow import PlacementRule
from accelchain.api.function_type import FunctionTypeSpec, Implementation


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a flow is refused."""

    reason: str
    """CamelCase, see docs/architecture.md §4."""
    path: str
    """The field at fault: ``spec.chain.functions[2].parameters.width``."""
    message: str
    """What is wrong and what to do, without the path."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ChainError(Exception):
    """A flow or a chain that is refused, with everything that is wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class PortId:
    """A port of a function of the chain."""

    function: str
    port: str

    def __str__(self) -> str:
        return f"{self.function}.{self.port}"

    @classmethod
    def parse(cls, text: str) -> PortId:
        """Split ``function.port``."""
        function, _, port = text.partition(".")
        return cls(function, port)


def is_supported(implementation: Implementation) -> bool:
    """Tell whether this version can run an implementation."""
    return implementation.api != "cuda" and not implementation.region_types


@dataclass(frozen=True, slots=True)
class ResolvedFunction:
    """A function of the chain with its type and its final parameters."""

    name: str
    type: str
    version: str
    spec: FunctionTypeSpec
    parameters: Mapping[str, Scalar]
    """References replaced, the flow's overrides applied, the type's defaults left to the runtime."""
    origins: Mapping[str, str]
    """For each parameter the field of the DataFlow that it came from."""
    rate: float | None
    """Declared frames a second; None: no load is reserved."""
    rules: tuple[PlacementRule, ...] = ()
    """The placement rules that hold for this function."""
    path: str = ""
    """The field that names this function: ``spec.chain.functions[2]``."""
    rate_path: str = ""
    """The field that declares its rate."""

    @property
    def implementations(self) -> list[Implementation]:
        """The type's implementations that this version runs and the rules allow, preferred one first."""
        wanted = [set(rule.implementations) for rule in self.rules if rule.implementations]
        return [i for i in self.spec.implementations if is_supported(i) and all(i.name in names for names in wanted)]


@dataclass(frozen=True, slots=True)
class ResolvedConnection:
    """An edge with everything that its ConnectionType and the flow say of it."""

    source: PortId
    target: PortId
    mechanisms: tuple[str, ...]
    slots: int = 4
    latency_microseconds: int = 0
    bytes_per_frame: int | None = None
    """Size of a frame on this edge where the shapes are known before the source is open."""


@dataclass(frozen=True, slots=True)
class ResolvedFlow:
    """A flow that was accepted."""

    functions: tuple[ResolvedFunction, ...]
    """In topological order."""
    connections: tuple[ResolvedConnection, ...]
    chain_name: str = ""
    chain_generation: int = 0
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """The flow's outputs: name → URI."""
    rules: tuple[PlacementRule, ...] = ()
    """All placement rules, in the order of ``spec.placement.rules``."""

    def function(self, name: str) -> ResolvedFunction:
        """Return the function of that name.

        Raises:
            KeyError: there is none.
        """
        for function in self.functions:
            if function.name == name:
                return function
        raise KeyError(name)
