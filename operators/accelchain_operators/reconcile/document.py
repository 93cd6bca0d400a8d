# SPDX-License-Identifier: Apache-2.0
"""A worker's status document, as far as operators read it. Its form is fixed in docs/architecture.md §2.

A worker runs users' functions, so its word is checked like any input: what does not fit is no document.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from accelchain_operators.reconcile.actions import JsonObject


def _cut(length: int) -> BeforeValidator:
    return BeforeValidator(lambda value: value[:length] if isinstance(value, str | list) else value)


Word = Annotated[str, _cut(64)]
Text = Annotated[str, _cut(1024)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""Sums of a few still fit the API's int64."""
Measure = Annotated[float, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, allow_inf_nan=False
    )


class FunctionReport(_Model):
    """One function's figures."""

    name: str
    frames: Count = 0
    frames_per_second: Measure = 0.0
    microseconds: Measure = 0.0


class EdgeReport(_Model):
    """One edge's mechanism and figures."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    mechanism: Word = ""
    copies: Count = 0
    microseconds: Measure = 0.0
    gigabytes_per_second: Measure = 0.0
    verified: bool = False


class OutputReport(_Model):
    """Small results, by name."""

    parameters: dict[str, Any] = Field(default_factory=dict)


class WorkerDocument(_Model):
    """What a worker says of itself."""

    phase: Word
    reason: Word = ""
    message: Annotated[str, _cut(3000)] = ""
    parameter: Text = ""
    """The DataFlow's field at fault."""
    frames: Count = 0
    position: Count | None = None
    """Number of the first frame that another attempt at a Stream has to make."""
    total: Count | None = None
    frames_per_second: Measure = 0.0
    functions: tuple[FunctionReport, ...] = ()
    edges: tuple[EdgeReport, ...] = ()
    outputs: OutputReport = Field(default_factory=OutputReport)
    warnings: Annotated[tuple[Text, ...], _cut(16)] = ()
    live: Annotated[tuple[Text, ...], _cut(16)] = ()

    @property
    def final(self) -> bool:
        """Whether the worker has come to its end."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def done(self) -> bool:
        """Whether it has done its work and published: not by being told to stop, as a Stream worker is."""
        return self.phase == "Succeeded" and self.reason != "Stopped"

    def completed_by(self, last: WorkerDocument | None) -> WorkerDocument:
        """Return this final document with figures from the last one of the stream where it had to leave them out."""
        if last is None:
            return self
        return self.model_copy(
            update={
                "functions": self.functions or last.functions,
                "edges": self.edges or last.edges,
                "live": self.live or last.live,
            }
        )


def parse_document(value: JsonObject | str | None) -> WorkerDocument | None:
    """Return a document, from JSON or from its text; None where it is none."""
    try:
        return WorkerDocument.model_validate(json.loads(value) if isinstance(value, str) else value)
    except (ValidationError, ValueError):
        return None


def document_of(value: JsonObject | str | None, plan: JsonObject | None) -> WorkerDocument | None:
    """Return a worker's document without edges that the plan does not have: the API would refuse the whole status."""
    document = parse_document(value)
    if document is None:
        return None
    known = {
        (f"{c['from']['function']}.{c['from']['port']}", f"{c['to']['function']}.{c['to']['port']}")
        for c in (plan or {"connections": ()})["connections"]
    }
    return document.model_copy(update={"edges": tuple(e for e in document.edges if (e.source, e.target) in known)})
