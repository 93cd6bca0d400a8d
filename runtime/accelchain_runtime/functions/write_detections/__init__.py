# SPDX-License-Identifier: Apache-2.0
"""write-detections: a sink that writes detections as JSON lines."""
