# SPDX-License-Identifier: Apache-2.0
"""Objects in memory, with one revision counter and a window of past changes to watch from."""
