# SPDX-License-Identifier: Apache-2.0
"""Rewrites chains of ordinary steps into one DataFlow each, and back. Pure."""

from __future__ import annotations

from accelchain.argo.fuse.catalogue import Functions
from accelchain.argo.fuse.document import Fused, fuse
from accelchain.argo.fuse.original import FUSED_FROM, FusedError, is_fused, restored
from accelchain.argo.fuse.report import Entry
from accelchain.argo.fuse.text import Piece, pieces

__all__ = [
    "FUSED_FROM",
    "Entry",
    "Functions",
    "Fused",
    "FusedError",
    "Piece",
    "fuse",
    "is_fused",
    "pieces",
    "restored",
]
