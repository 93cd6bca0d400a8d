# SPDX-License-Identifier: Apache-2.0
"""The pass over KFP's IR: chains of tasks that are functions become one task each, which makes one DataFlow. Pure.

IR goes in and IR comes out, as dicts; nothing here imports KFP.
"""

from __future__ import annotations

from accelchain.kfp.core.flow import ValueProblem, spec_of
from accelchain.kfp.core.fuse import DEFAULT_IMAGE, Fused, fuse
from accelchain.kfp.core.payload import Payload, PayloadError, decode, encode
from accelchain.kfp.core.pipeline import Pipeline, TextError, documents, is_pipeline, read, write
from accelchain.kfp.core.report import Entry, FuseError

__all__ = [
    "DEFAULT_IMAGE",
    "Entry",
    "FuseError",
    "Fused",
    "Payload",
    "PayloadError",
    "Pipeline",
    "TextError",
    "ValueProblem",
    "decode",
    "documents",
    "encode",
    "fuse",
    "is_pipeline",
    "read",
    "spec_of",
    "write",
]
