# SPDX-License-Identifier: Apache-2.0
"""What a fused document was before, kept in an annotation of its own; and the way back."""

from __future__ import annotations

import base64
import binascii
import copy
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from accelchain.argo.core.documents import workflow_specs

JsonObject = dict[str, Any]

FUSED_FROM: Final = "accelchain.io/fused-from"
_PLAIN: Final = 1024
"""Characters that are readable in an annotation; longer ones are compressed."""
_LARGEST: Final = 200 << 10
"""Kubernetes takes annotations of 256 KiB, all together."""
_UNPACKED: Final = 8 << 20


class FusedError(Exception):
    """A document that can't be taken back, or whose original can't be kept."""


def is_fused(document: Any) -> bool:
    """Tell whether a document holds its original."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(notes, dict) and FUSED_FROM in notes


def keep(document: JsonObject, before: Mapping[str, JsonObject], added: list[str]) -> None:
    """Write into a document what it was.

    Args:
        document: already changed; gets the annotation.
        before: templates that were changed, as they were, by name.
        added: names of new templates.

    Raises:
        FusedError: that is more than an annotation may hold.
    """
    record = {
        "templates": dict(before),
        "added": added,
        "digest": _digest(document, [*before, *added]),
        "had": [_had(document, "metadata"), _had(document.get("metadata") or {}, "annotations")],
    }
    text = _packed(record)
    if len(text) > _LARGEST:
        raise FusedError("its original is too large to be kept in an annotation: fuse its templates one after another.")
    if not isinstance(document.get("metadata"), dict):
        document["metadata"] = {}
    if not isinstance(document["metadata"].get("annotations"), dict):
        document["metadata"]["annotations"] = {}
    document["metadata"]["annotations"][FUSED_FROM] = text


def restored(document: JsonObject) -> JsonObject:
    """Return a fused document as it was; what was changed beside the fused parts stays changed.

    Raises:
        FusedError: the fused parts were changed.
    """
    record = _unpacked(document["metadata"]["annotations"][FUSED_FROM])
    before, added = record["templates"], record["added"]
    if _digest(document, [*before, *added]) != record["digest"]:
        raise FusedError(
            "its fused part was edited, so the original would undo that: take the edit back, or remove the "
            f"annotation {FUSED_FROM} to keep it."
        )
    result = copy.deepcopy(document)
    for _, spec in workflow_specs(result):
        if not all(isinstance(t, dict) and isinstance(t.get("name"), str) for t in spec["templates"]):
            raise FusedError("one of its templates has no name: give it one.")
        spec["templates"] = [before.get(t["name"], t) for t in spec["templates"] if t["name"] not in added]
    metadata = result["metadata"]
    del metadata["annotations"][FUSED_FROM]
    had_metadata, had_annotations = record["had"]
    _put_back(metadata, "annotations", had_annotations)
    _put_back(result, "metadata", had_metadata)
    return result


def _had(holder: JsonObject, field: str) -> bool | None:
    """Return whether a field was there; None: it was, and empty (null)."""
    return None if field in holder and holder[field] is None else field in holder


def _put_back(holder: JsonObject, field: str, had: bool | None) -> None:
    """Take away a mapping that was not there, unless something else is in it by now."""
    if had or holder[field]:
        return
    if had is None:
        holder[field] = None
    else:
        del holder[field]


def _digest(document: JsonObject, names: list[str]) -> str:
    parts = []
    for _, spec in workflow_specs(document):
        listed = spec.get("templates")
        parts += [
            t for t in (listed if isinstance(listed, list) else ()) if isinstance(t, dict) and t.get("name") in names
        ]
    return hashlib.sha256(_json(parts, sort=True).encode()).hexdigest()


def _json(value: Any, *, sort: bool = False) -> str:
    return json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False)


def _packed(record: JsonObject) -> str:
    text = _json(record)
    if len(text) <= _PLAIN:
        return text
    return "gzip:" + base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _unpacked(text: Any) -> JsonObject:
    try:
        plain = _inflated(text.removeprefix("gzip:")) if text.startswith("gzip:") else text
        record = json.loads(plain)
        wanted = {"templates": dict, "added": list, "digest": str, "had": list}
        if all(isinstance(record[field], kind) for field, kind in wanted.items()) and len(record["had"]) == 2:
            return dict(record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error, binascii.Error, EOFError):
        pass
    raise FusedError(f"its annotation {FUSED_FROM} can't be read: it was changed since accelchain fuse wrote it.")


def _inflated(text: str) -> str:
    unpack = zlib.decompressobj(wbits=31)
    plain = unpack.decompress(base64.b64decode(text, validate=True), _UNPACKED)
    if not unpack.eof:
        raise ValueError("it is cut off, or too large")
    return plain.decode()
