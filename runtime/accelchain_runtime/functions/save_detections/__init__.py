# SPDX-License-Identifier: Apache-2.0
"""save-detections: a sink that keeps detections in a frames file."""
