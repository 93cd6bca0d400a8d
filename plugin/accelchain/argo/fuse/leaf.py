# SPDX-License-Identifier: Apache-2.0
"""A template that is one function: what each of its parts is to the function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from accelchain.api.function_type import FunctionType
from accelchain.api.parameter import ParameterDeclaration
from accelchain.chain.values import is_address

JsonObject = dict[str, Any]

FUNCTION: Final = "accelchain.io/function"
PARAMETERS: Final = "accelchain.io/parameters"
PORTS: Final = "accelchain.io/ports"
RESULTS: Final = "accelchain.io/results"
EPHEMERAL: Final = "accelchain.io/ephemeral"
IDEMPOTENT: Final = "accelchain.io/idempotent"
SIDE_EFFECTS: Final = "accelchain.io/side-effects"
REMOTE: Final = re.compile(r"(https?|s3|rtsps?)://", re.IGNORECASE)
"""How an address begins that a DataFlow reaches from any node."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A template whose function is known, and all that it takes and gives."""

    type: FunctionType
    version: str | None
    """The version that was asked for."""
    parameters: Mapping[str, str]
    """Texts, with variables of Argo in them."""
    inputs: Mapping[str, str]
    """Artifact by input port."""
    outputs: Mapping[str, str]
    """Artifact by output port."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Artifact by the parameter that is its address."""
    writes: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    """Result of the function by output parameter of the template."""
    ephemeral: frozenset[str] = frozenset()
    """Output artifacts that nobody else needs."""
    idempotent: bool = False
    side_effects: bool = False
    unsound: str = ""
    """What is wrong with the function's type itself."""

    @property
    def reads_something(self) -> bool:
        """Whether the function has the address of a source."""
        return bool(self.reads) or any(
            not writes(declaration, self.type) and declaration.name in self.parameters
            for declaration in self.type.spec.parameters
            if is_address(declaration)
        )

    @property
    def writes_something(self) -> bool:
        """Whether the function has the address of a sink."""
        return bool(self.writes) or any(
            writes(declaration, self.type) and declaration.name in self.parameters
            for declaration in self.type.spec.parameters
            if is_address(declaration)
        )


def writes(declaration: ParameterDeclaration, type_: FunctionType) -> bool:
    """Tell whether an address is one that the function writes to."""
    plain = "uri-input" if type_.spec.outputs else "uri-output"  # a parameter ``uri`` without a format
    return (declaration.format or plain) == "uri-output"


def notes_of(template: JsonObject) -> JsonObject:
    """Return a template's annotations."""
    metadata = template.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def named(template: JsonObject, side: str, kind: str) -> dict[str, JsonObject]:
    """Return a template's ``inputs`` or ``outputs`` of a kind (``parameters``, ``artifacts``) by name."""
    return by_name((template.get(side) or {}).get(kind) if isinstance(template.get(side), dict) else None)


def by_name(listed: Any) -> dict[str, JsonObject]:
    """Return the mappings of a list by their ``name``; others are left out."""
    return {
        item["name"]: item
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
