# SPDX-License-Identifier: Apache-2.0
"""load-detections on the CPU."""

from __future__ import annotations

from accelchain_runtime.functions.loading import Load


class LoadDetections(Load):
    """A source of the detections that a file holds: ``detections`` float32 [100, 6]."""

    port = kind = "detections"
    shape = (100, 6)
    dtype = "float32"
