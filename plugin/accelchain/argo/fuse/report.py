# SPDX-License-Identifier: Apache-2.0
"""What became of each step, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]
Outcome = Literal["fused", "re-targeted", "kept"]


@dataclass(frozen=True, slots=True)
class Stop:
    """A rule that a chain breaks."""

    rule: int
    step: str
    """The step that breaks it."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a document."""

    document: str
    """``Workflow/video-chain-``."""
    template: str
    """The template that calls it."""
    step: str
    outcome: Outcome
    rule: int | None
    """The rule that stopped it; None where none did."""
    sentence: str

    def to_dict(self) -> JsonObject:
        """Return the entry as JSON."""
        found: JsonObject = {
            "document": self.document,
            "template": self.template,
            "step": self.step,
            "outcome": self.outcome,
            "rule": self.rule,
            "sentence": self.sentence,
        }
        return found
