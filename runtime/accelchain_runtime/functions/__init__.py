# SPDX-License-Identifier: Apache-2.0
"""The built-in functions, a folder each, and what their sources and sinks share."""
