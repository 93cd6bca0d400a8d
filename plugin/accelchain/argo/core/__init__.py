# SPDX-License-Identifier: Apache-2.0
"""The handler that all fronts share: a template and who asks, in; a DataFlow or a node's result, out. Pure."""
