# SPDX-License-Identifier: Apache-2.0
"""Which fields a resource has at a place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from accelchain.api import Resource


def fields_at(kind: type[Resource], location: Sequence[int | str]) -> list[str]:
    """Return the names of the fields at a place; none where it holds no object with fields of its own.

    Args:
        kind: the resource.
        location: fields, names and indices from the root: ``("spec", "placement", "rules", 0)``.
    """
    models: list[type[BaseModel]] = [kind]
    for part in location:
        if isinstance(part, int):
            continue  # an item of a list has the model that the list's field led to
        found = [f for m in models for f in m.model_fields.values() if f.alias == part]
        if found:
            models = [model for field in found for model in _models_of(field.annotation)]
        # else: a name in a mapping, whose values have the model that the mapping's field led to
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models within an annotation: ``list[X]``, ``dict[str, X]``, ``X | None``, ``Annotated[X, …]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _models_of(part)
