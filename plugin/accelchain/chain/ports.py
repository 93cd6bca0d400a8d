# SPDX-License-Identifier: Apache-2.0
"""Ports: whether two fit, and how large a frame between them is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from accelchain.api.function_type import FunctionTypeSpec, Port
from accelchain.chain.values import Value

ELEMENT_BYTES: Mapping[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
"""Size of an element of every type that a port may have."""

Dimensions = tuple[int | None, ...]
"""A shape; None: free until the source is open."""


def dimensions(port: Port, spec: FunctionTypeSpec, parameters: Mapping[str, Value]) -> Dimensions:
    """Return a port's shape with the values of parameters in place of ``$name``."""
    defaults = {p.name: p.default for p in spec.parameters}
    result: list[int | None] = []
    for dimension in port.shape:
        value: object = dimension
        if isinstance(dimension, str):
            name = dimension.removeprefix("$")
            value = parameters.get(name, defaults.get(name)) if dimension.startswith("$") else None
        result.append(value if isinstance(value, int) and not isinstance(value, bool) else None)
    return tuple(result)


def mismatch(source: Port, source_shape: Dimensions, target: Port, target_shape: Dimensions) -> str | None:
    """Return how an output and an input differ, None where they fit."""
    if source.type != target.type:
        return f"the output is of type {source.type}, the input wants {target.type}"
    if source.dtype != target.dtype:
        return f"the output's elements are {source.dtype}, the input wants {target.dtype}"
    if len(source_shape) != len(target_shape):
        return f"the output has {len(source_shape)} dimensions, the input wants {len(target_shape)}"
    for a, b in zip(source_shape, target_shape, strict=True):
        if a is not None and b is not None and a != b:
            return (
                f"the output's shape is {_shown(source, source_shape)}, the input wants {_shown(target, target_shape)}"
            )
    return None


def frame_bytes(dtype: str, first: Dimensions, second: Dimensions) -> int | None:
    """Return the size of a frame whose dimensions are known at one end of the edge, None where they are not."""
    known = [a if a is not None else b for a, b in zip(first, second, strict=True)]
    if None in known or dtype not in ELEMENT_BYTES:
        return None
    return math.prod(n for n in known if n is not None) * ELEMENT_BYTES[dtype]


def _shown(port: Port, shape: Dimensions) -> str:
    names = (str(d).removeprefix("$") if n is None else str(n) for d, n in zip(port.shape, shape, strict=True))
    return f"[{', '.join(names)}]"
