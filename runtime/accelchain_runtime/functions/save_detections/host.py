# SPDX-License-Identifier: Apache-2.0
"""save-detections on the CPU."""

from __future__ import annotations

from accelchain_runtime.functions.ports import require_detections
from accelchain_runtime.functions.saving import Save


class SaveDetections(Save):
    """A sink that keeps every frame's detections as they are."""

    port = kind = "detections"
    require = staticmethod(require_detections)
