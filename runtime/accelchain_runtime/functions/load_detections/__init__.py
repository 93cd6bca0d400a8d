# SPDX-License-Identifier: Apache-2.0
"""load-detections: a source of detections from a frames file."""
