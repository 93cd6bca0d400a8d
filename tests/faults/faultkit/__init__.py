# SPDX-License-Identifier: Apache-2.0
"""Operators as processes, an API that breaks on demand, simulated nodes, and oracles that see every revision."""
