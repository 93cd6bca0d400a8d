# SPDX-License-Identifier: Apache-2.0
"""Filter and resize of pictures."""
