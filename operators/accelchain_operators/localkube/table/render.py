# SPDX-License-Identifier: Apache-2.0
"""``meta.k8s.io/v1`` Tables and metadata-only objects."""

from __future__ import annotations

from collections.abc import Iterable

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.endpoint import Column, Endpoint
from accelchain_operators.localkube.table.cells import cell
from accelchain_operators.localkube.table.columns import AGE

_NAME = Column("Name", ".metadata.name", format="name", description="Name of the object.")


def table(endpoint: Endpoint, objects: Iterable[JsonObject], meta: JsonObject, include: str = "Metadata") -> JsonObject:
    """Return the Table of stored objects.

    Args:
        endpoint: the kind; its columns follow the name.
        objects: in their stored form.
        meta: the list's metadata.
        include: what each row carries: ``Metadata``, ``Object`` or ``None``.
    """
    columns = (_NAME, *(endpoint.columns or (AGE,)))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [
            {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
            for c in columns
        ],
        "rows": [_row(endpoint, columns, obj, include) for obj in objects],
    }


def _row(endpoint: Endpoint, columns: tuple[Column, ...], obj: JsonObject, include: str) -> JsonObject:
    row: JsonObject = {"cells": [c.cell(obj) if c.cell else cell(obj, c.json_path, c.type) for c in columns]}
    if include == "Object":
        row["object"] = endpoint.show(obj)
    elif include != "None":
        row["object"] = partial(obj)
    return row


def partial(obj: JsonObject) -> JsonObject:
    """Return an object's metadata as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def partial_list(objects: Iterable[JsonObject], meta: JsonObject) -> JsonObject:
    """Return a PartialObjectMetadataList."""
    items = [partial(obj) for obj in objects]
    return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}
