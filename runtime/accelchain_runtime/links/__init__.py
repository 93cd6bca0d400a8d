# SPDX-License-Identifier: Apache-2.0
"""Links: one file a mechanism that carries frames over an edge."""
