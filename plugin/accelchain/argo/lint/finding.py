# SPDX-License-Identifier: Apache-2.0
"""What is found in a document, and what is known beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accelchain.api import ConnectionType, FunctionChain, FunctionType, SchedulingStrategy


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or odd."""

    source: str
    """The file's name."""
    document: str
    """``Workflow/detect``."""
    template: str
    """The template's name; empty: it is about the document."""
    path: str
    """The field within the template, else within the document."""
    message: str
    """One sentence: what it is and what to do."""
    odd: bool = False
    """It works, and perhaps not as it was meant: a warning."""

    def __str__(self) -> str:
        template = f" template {self.template}" if self.template else ""
        return f"{self.source}: {self.document}{template}: {self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Known:
    """Definitions that are there beside the files."""

    types: Sequence[FunctionType] = ()
    chains: Mapping[str, FunctionChain] = field(default_factory=dict)
    connection_types: Mapping[str, ConnectionType] = field(default_factory=dict)
    strategies: Mapping[str, SchedulingStrategy] = field(default_factory=dict)
    complete: bool = False
    """They are all that there is (a cluster's): a chain that is not among them does not exist."""
