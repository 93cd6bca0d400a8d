# SPDX-License-Identifier: Apache-2.0
"""What functions demand of their input ports."""

from __future__ import annotations

from accelchain_runtime.engine.function import InputError, SetupContext


def require_pictures(context: SetupContext, port: str = "frames") -> tuple[int, int]:
    """Return (width, height) of the pictures that the port carries.

    Raises:
        InputError: it carries something else than uint8 [height, width, 3].
    """
    spec = context.inputs[port]
    if len(spec.shape) != 3 or spec.shape[2] != 3 or spec.dtype != "uint8":
        raise InputError(_message(context, port, "uint8 [height, width, 3]"))
    return spec.shape[1], spec.shape[0]


def require_detections(context: SetupContext, port: str = "detections") -> None:
    """Check that the port carries detections.

    Raises:
        InputError: it carries something else than float32 [rows, 6].
    """
    spec = context.inputs[port]
    if len(spec.shape) != 2 or spec.shape[1] != 6 or spec.dtype != "float32":
        raise InputError(_message(context, port, "float32 [rows, 6]"))


def _message(context: SetupContext, port: str, wanted: str) -> str:
    spec = context.inputs[port]
    return f"{context.name}: input {port} must be {wanted}, but carries {spec.dtype} {list(spec.shape)}."
