# SPDX-License-Identifier: Apache-2.0
"""A chain as a graph: ports, types, parameters, validation. Pure."""
