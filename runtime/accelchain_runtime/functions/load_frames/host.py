# SPDX-License-Identifier: Apache-2.0
"""load-frames on the CPU."""

from __future__ import annotations

from accelchain_runtime.functions.loading import Load


class LoadFrames(Load):
    """A source of the pictures that a file holds: ``frames`` uint8 [height, width, 3]."""

    port = kind = "frames"
    shape = (None, None, 3)
    dtype = "uint8"
