# SPDX-License-Identifier: Apache-2.0
"""draw-boxes on the CPU: the picture is copied once, boxes and tags are copied into it by numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import Array, Buffer, Event, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.functions.detections import name_of, names_of, valid
from accelchain_runtime.functions.ports import require_detections, require_pictures

from .tags import colour_of, tag

_PICTURE_LINES = 280
"""Lines of a picture for each pixel of a box's thickness."""
_SMALLEST_TEXT = 11


class DrawBoxes:
    """Draws detections into a copy of the picture; a picture that was scaled gets them scaled."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._thickness = 2
        self._text_size = _SMALLEST_TEXT

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Choose the thickness of lines and the size of letters by the size of the picture.

        Returns:
            ``frames``: uint8 [height, width, 3], as the input.

        Raises:
            InputError: an input carries something else than pictures or detections.
        """
        _, height = require_pictures(context)
        require_detections(context)
        self._names = names_of(str(context.parameters.get("labels", "person")))
        self._thickness = max(1, round(height / _PICTURE_LINES))
        self._text_size = max(_SMALLEST_TEXT, height // 42)
        return {"frames": context.inputs["frames"]}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Copy one picture and draw its detections, the surest one on top."""
        picture = outputs["frames"].array
        np.copyto(picture, inputs["frames"].array)
        height, width = picture.shape[:2]
        source_width, source_height = frame.source_size
        scale = np.array([width / max(1, source_width), height / max(1, source_height)] * 2)
        for row in valid(inputs["detections"].array)[::-1]:
            corners = np.clip(np.rint(row[:4] * scale), -1, [width, height, width, height]).astype(int)
            index = int(row[5])
            text = f"{name_of(self._names, index)} {row[4] * 100:.0f} %"
            self._draw(picture, corners.tolist(), colour_of(index), text)
        return None

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Nothing to release."""

    def _draw(self, picture: Array, corners: Sequence[int], colour: tuple[int, int, int], text: str) -> None:
        x1, y1, x2, y2 = corners
        if x2 <= x1 or y2 <= y1:
            return
        thick = self._thickness
        outer = (y1 - thick // 2, y2 + thick - thick // 2, x1 - thick // 2, x2 + thick - thick // 2)
        top, bottom, left, right = (max(0, value) for value in outer)
        picture[top : top + thick, left:right] = colour
        picture[max(top, bottom - thick) : bottom, left:right] = colour
        picture[top:bottom, left : left + thick] = colour
        picture[top:bottom, max(left, right - thick) : right] = colour
        label = tag(text, colour, self._text_size)
        above = top - label.shape[0]
        _paste(picture, label, left, above if above >= 0 else top)


def _paste(picture: Array, small: Array, x: int, y: int) -> None:
    """Copy ``small`` to (x, y), moved left where it would stand out on the right, cut where it still does."""
    x = max(0, min(x, picture.shape[1] - small.shape[1]))
    target = picture[y : y + small.shape[0], x : x + small.shape[1]]
    target[...] = small[: target.shape[0], : target.shape[1]]
