# SPDX-License-Identifier: Apache-2.0
"""What became of each task, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]


class FuseError(Exception):
    """A chain that was asked for can't be one task; one sentence for everything that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the sentences."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Stop(Exception):  # noqa: N818  (a reason that is handed on)
    """A task that can't be a function of a chain."""

    def __init__(self, rule: str, task: str, sentence: str) -> None:
        """Keep a word for the rule, the task, and a sentence: what is wrong and what to do."""
        super().__init__(sentence)
        self.rule = rule
        self.task = task
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Entry:
    """One task of a pipeline."""

    document: str
    """The pipeline's name."""
    dag: str
    """``root``, or the component whose tasks these are."""
    task: str
    outcome: Literal["fused", "kept"]
    rule: str | None
    """A word for what stopped it; None where nothing did."""
    sentence: str

    def to_dict(self) -> JsonObject:
        """Return the entry as JSON."""
        return {
            "document": self.document,
            "dag": self.dag,
            "task": self.task,
            "outcome": self.outcome,
            "rule": self.rule,
            "sentence": self.sentence,
        }
