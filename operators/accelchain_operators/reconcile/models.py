# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects as typed models; each version of an object is parsed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError

from accelchain.api import Resource
from accelchain_operators.reconcile.actions import JsonObject

Model = TypeVar("Model", bound=Resource)

REMEMBERED = 2048
_parsed: OrderedDict[tuple[str, str], Resource | ValidationError] = OrderedDict()


def parse(model: type[Model], obj: JsonObject) -> Model:
    """Return the object as a model.

    Raises:
        pydantic.ValidationError: it does not fit the model (the CRD in the cluster is another version's).
    """
    meta = obj["metadata"]
    key = (meta.get("uid", ""), meta.get("resourceVersion", ""))
    found = _parsed.get(key) if all(key) else None
    if found is None:
        try:
            found = model.model_validate(obj)
        except ValidationError as error:
            found = error
        _parsed[key] = found
        if len(_parsed) > REMEMBERED:
            _parsed.popitem(last=False)
    if isinstance(found, ValidationError):
        raise found.with_traceback(None)  # or each raise would make the one that is remembered longer
    assert isinstance(found, model)
    return found


def parse_valid(model: type[Model], objects: Iterable[JsonObject]) -> list[Model]:
    """Return those of the objects that fit; the others are as good as absent: their Ready condition says why."""
    models = []
    for obj in objects:
        try:
            models.append(parse(model, obj))
        except ValidationError:
            continue
    return models


def problems_of(error: ValidationError) -> str:
    """Return a validation error as one sentence: each field's path and what is wrong with it."""
    return "; ".join(f"{_path(e['loc'])}: {e['msg']}" for e in error.errors(include_url=False))


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")
