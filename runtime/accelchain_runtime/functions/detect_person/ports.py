# SPDX-License-Identifier: Apache-2.0
"""What detect-person takes and gives, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass

from accelchain_runtime.engine.function import InputError, SetupContext, TensorSpec
from accelchain_runtime.functions.detect_person.decode import COLUMNS, MAX_DETECTIONS
from accelchain_runtime.functions.detect_person.model import INPUT_SIZE

PICTURE = TensorSpec((INPUT_SIZE, INPUT_SIZE, 3), "uint8")
DETECTIONS = TensorSpec((MAX_DETECTIONS, COLUMNS), "float32")


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's parameters."""

    threshold: float = 0.5
    """Least score of a detection."""
    iou: float = 0.5
    """Overlap above which the lesser of two boxes is dropped."""

    @classmethod
    def of(cls, context: SetupContext) -> Settings:
        """Check what the function was given.

        Raises:
            InputError: ``frames`` isn't uint8 [300, 300, 3], or a parameter is no number from 0 to 1.
        """
        spec = context.inputs.get("frames")
        if spec != PICTURE:
            got = "nothing" if spec is None else f"{spec.dtype} {list(spec.shape)}"
            raise InputError(
                f"{context.name}: input frames must be uint8 {list(PICTURE.shape)}, but carries {got}; "
                f"put filter-resize with width {INPUT_SIZE} and height {INPUT_SIZE} before it."
            )
        return cls(**{name: _fraction(context, name) for name in ("threshold", "iou") if name in context.parameters})


def _fraction(context: SetupContext, name: str) -> float:
    value = context.parameters[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{context.name}: {name} is {value!r}; give a number from 0 to 1.", parameter=name)
    return float(value)
