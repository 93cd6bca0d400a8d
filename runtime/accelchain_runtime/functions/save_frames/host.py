# SPDX-License-Identifier: Apache-2.0
"""save-frames on the CPU."""

from __future__ import annotations

from accelchain_runtime.functions.ports import require_pictures
from accelchain_runtime.functions.saving import Save


class SaveFrames(Save):
    """A sink that keeps every picture as it is, uncompressed."""

    port = kind = "frames"
    require = staticmethod(require_pictures)
