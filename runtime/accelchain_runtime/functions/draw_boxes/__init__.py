# SPDX-License-Identifier: Apache-2.0
"""draw-boxes: draws detections into pictures."""
