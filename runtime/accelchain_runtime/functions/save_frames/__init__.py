# SPDX-License-Identifier: Apache-2.0
"""save-frames: a sink that keeps pictures in a frames file."""
