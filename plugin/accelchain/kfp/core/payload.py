# SPDX-License-Identifier: Apache-2.0
"""What a launcher's container is told of its chain: one argument, in which KFP's backend replaces nothing."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

JsonObject = dict[str, Any]
VERSION: Final = 1
_MOST_BYTES = 16 << 20


class PayloadError(Exception):
    """A text that is no payload of this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A DataFlow that lacks what is known at run time only, and where that comes from."""

    name: str
    """Of the chain; the flow's name begins with it."""
    spec: JsonObject
    """DataFlow.spec, with the chain inline and all literals."""
    parameters: Mapping[str, JsonObject] = field(default_factory=dict)
    """Chain's parameter: ``{"input": input parameter}`` of the task."""
    inputs: Mapping[str, JsonObject] = field(default_factory=dict)
    """Chain's input: ``{"artifact": input artifact}`` or ``{"parameter": input parameter}``."""
    outputs: Mapping[str, JsonObject] = field(default_factory=dict)
    """Chain's output: ``{"artifact": output artifact, "ending": ".mp4"}`` or ``{"parameter": input parameter}``."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Output parameter: ``function.key`` of what the flow tells."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Output parameter: KFP's type of it."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """``metrics``, ``report``, ``summary``: the output artifacts they go to."""
    tasks: Sequence[str] = ()
    """The tasks that were fused."""


def encode(payload: Payload) -> str:
    """Return the payload as one word: JSON, compressed, base64."""
    text = json.dumps({"version": VERSION, **asdict(payload)}, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def decode(text: str) -> Payload:
    """Return what ``encode`` was given.

    Raises:
        PayloadError: it is something else, or of another version.
    """
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
        document = json.loads(raw)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise PayloadError(f"the payload can't be read ({error}): fuse the pipeline anew.") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        version = document.get("version") if isinstance(document, dict) else None
        raise PayloadError(
            f"the payload is of version {version}, this launcher reads {VERSION}: "
            "use the image of the accelchain that fused the pipeline."
        )
    try:
        return Payload(**{key: value for key, value in document.items() if key != "version"})
    except TypeError as error:
        raise PayloadError(f"the payload is damaged ({error}): fuse the pipeline anew.") from None
