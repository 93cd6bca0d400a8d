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
Count = Annotated[int, Field(ge=0, lt=2**63)]
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


def parse_document(value: JsonObject | str | None) -> WorkerDocument | None:
    """Return a document, from JSON or from its text; None where it is none."""
    try:
        return WorkerDocument.model_validate(json.loads(value) if isinstance(value, str) else value)
    except (ValidationError, ValueError):
        return None


def merged(final: WorkerDocument, last: WorkerDocument | None) -> WorkerDocument:
    """Return the final document with figures from the last one of the stream where the final one was cut."""
    if last is None:
        return final
    return final.model_copy(
        update={
            "functions": final.functions or last.functions,
            "edges": final.edges or last.edges,
            "live": final.live or last.live,
        }
    )
