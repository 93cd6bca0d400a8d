# SPDX-License-Identifier: Apache-2.0
"""Cameras: FFmpeg speaks RTSP to a relay in this process, which holds the one connection to the camera."""
