# SPDX-License-Identifier: Apache-2.0
"""encode-video: a sink that makes a video file, or serves live video to browsers."""
