# SPDX-License-Identifier: Apache-2.0
"""Phases of Argo's nodes."""

from __future__ import annotations

from typing import Final

SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
SKIPPED: Final = "Skipped"
OMITTED: Final = "Omitted"
