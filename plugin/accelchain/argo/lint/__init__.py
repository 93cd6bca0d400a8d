# SPDX-License-Identifier: Apache-2.0
"""Are our steps in Argo's documents right? Before anything is submitted, and all that is wrong at once. Pure."""

from __future__ import annotations

from accelchain.argo.lint.finding import Finding, Known
from accelchain.argo.lint.lint import Report, lint
from accelchain.argo.lint.text import Document, TextError, load

__all__ = ["Document", "Finding", "Known", "Report", "TextError", "lint", "load"]
