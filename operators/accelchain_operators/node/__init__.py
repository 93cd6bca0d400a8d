# SPDX-License-Identifier: Apache-2.0
"""The node agent: publishes the inventory of its node."""
