# SPDX-License-Identifier: Apache-2.0
"""decode-video: a source of pictures from a video file or address."""
