# SPDX-License-Identifier: Apache-2.0
"""Tags: small pictures with a label and a score, drawn once and then only copied."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from accelchain_runtime.engine.function import Array

COLOURS = (
    (255, 196, 0),
    (0, 200, 255),
    (255, 105, 180),
    (120, 230, 90),
    (190, 140, 255),
    (255, 140, 60),
)
"""RGB, by class; bright, so that dark text on them is readable."""
_TEXT = (20, 20, 20)


def colour_of(index: int) -> tuple[int, int, int]:
    """Return a class's colour."""
    return COLOURS[index % len(COLOURS)]


@lru_cache(maxsize=1024)
def tag(text: str, colour: tuple[int, int, int], size: int) -> Array:
    """Draw a tag.

    Args:
        text: what stands on it.
        colour: its background, RGB.
        size: of the letters, pixels.

    Returns:
        uint8 [height, width, 3], read-only, shared by all callers.
    """
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text)
    top, bottom = font.getbbox("Ágp%")[1::2]  # the same height for every text
    margin = max(2, size // 5)
    picture = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + margin), colour)
    ImageDraw.Draw(picture).text((margin - left, margin // 2 - top), text, font=font, fill=_TEXT)
    pixels = np.asarray(picture)
    pixels.flags.writeable = False
    return pixels
