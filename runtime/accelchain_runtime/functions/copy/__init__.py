# SPDX-License-Identifier: Apache-2.0
"""Copies frames unchanged."""
