# SPDX-License-Identifier: Apache-2.0
"""The operators: watch, reconcile (pure), apply."""
