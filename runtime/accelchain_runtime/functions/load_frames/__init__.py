# SPDX-License-Identifier: Apache-2.0
"""load-frames: a source of pictures from a frames file."""
