# SPDX-License-Identifier: Apache-2.0
"""What a function's ``setup`` and ``finish`` return, checked: whoever breaks the contract is named (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import TensorSpec
from accelchain_runtime.registry import FunctionFolder


def check_outputs(folder: FunctionFolder, specs: object) -> dict[str, TensorSpec]:
    """Return what ``setup`` said of each output port, in the manifest's order.

    Raises:
        TypeError: it is no mapping of the manifest's outputs to TensorSpecs.
        ValueError: a spec has no such shape or dtype, or not those that the manifest promises.
    """
    ports = {str(port["name"]): port for port in folder.outputs}
    if not isinstance(specs, Mapping) or sorted(map(str, specs)) != sorted(ports):
        told = sorted(map(str, specs)) if isinstance(specs, Mapping) else type(specs).__name__
        raise TypeError(f"setup must return specs of {list(ports)}, not of {told}")
    for name, port in ports.items():
        _check_spec(name, port, specs[name])
    return {name: specs[name] for name in ports}


def _check_spec(name: str, port: Mapping[str, Any], spec: object) -> None:
    if not isinstance(spec, TensorSpec):
        raise TypeError(f"setup must return a TensorSpec for output {name}, not {type(spec).__name__}")
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in spec.shape)
    if not whole or not spec.shape:
        raise ValueError(f"setup returned shape {spec.shape} for output {name}: sizes must be whole numbers above 0")
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        raise ValueError(f"setup returned dtype {spec.dtype!r} for output {name}: numpy knows no such type") from None
    promised, shape = port.get("dtype"), port.get("shape")
    if promised and dtype != np.dtype(promised):
        raise ValueError(f"setup returned dtype {spec.dtype} for output {name}, but the manifest says {promised}")
    if shape and (
        len(shape) != len(spec.shape)
        or any(isinstance(size, int) and size != actual for size, actual in zip(shape, spec.shape, strict=True))
    ):
        raise ValueError(f"setup returned shape {list(spec.shape)} for output {name}, but the manifest says {shape}")


def check_results(values: object) -> dict[str, Any]:
    """Return what ``finish`` returned: output parameters for the status.

    Raises:
        TypeError, ValueError: it is no mapping of names to JSON values (NaN is none).
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise TypeError(f"finish must return a mapping of names to values, not {type(values).__name__}")
    for name, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"finish must return JSON values; {name} is none: {error}") from error
    return dict(values)
