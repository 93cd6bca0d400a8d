# SPDX-License-Identifier: Apache-2.0
"""A cluster in which everything happens once that operators and node agents have rights for."""
