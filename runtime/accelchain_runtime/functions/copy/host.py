# SPDX-License-Identifier: Apache-2.0
"""The copy on the host: one numpy assignment a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, SetupContext, TensorSpec


class Copy:
    """Copies frames unchanged."""

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Return what comes in as what goes out."""
        return {"frames": context.inputs["frames"]}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Copy one frame."""
        np.copyto(outputs["frames"].array, inputs["frames"].array)
        return None

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Nothing to release."""
