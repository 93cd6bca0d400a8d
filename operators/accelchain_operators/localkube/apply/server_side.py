# SPDX-License-Identifier: Apache-2.0
"""Server-side apply: who owns which field, and what happens where two disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelchain_operators.localkube.apply.field_set import (
    Path,
    Paths,
    compare,
    field_set,
    from_fields_v1,
    owned,
    path_text,
    to_fields_v1,
)
from accelchain_operators.localkube.apply.merge import merge, remove
from accelchain_operators.localkube.errors import StatusError
from accelchain_operators.localkube.objects import JsonObject, clone
from accelchain_operators.localkube.schema.structural import Schema


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: the identity of an entry of managedFields."""

    name: str
    operation: str
    """Apply or Update."""
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a manager owns, and since when."""

    manager: Manager
    fields: Paths
    time: str


def read_entries(obj: JsonObject | None) -> list[Entry]:
    """Return the entries of an object's managedFields."""
    found: list[Entry] = []
    for raw in (obj or {}).get("metadata", {}).get("managedFields") or []:
        if raw.get("fieldsType") != "FieldsV1":
            continue  # an empty entry is how a client resets the list
        manager = Manager(
            raw.get("manager", ""), raw.get("operation", ""), raw.get("apiVersion", ""), raw.get("subresource", "")
        )
        found.append(Entry(manager, from_fields_v1(raw.get("fieldsV1") or {}), raw.get("time", "")))
    return found


def write_entries(obj: JsonObject, entries: Sequence[Entry]) -> None:
    """Set an object's managedFields, Apply entries first as Kubernetes sorts them."""
    rows: list[JsonObject] = []
    for entry in sorted(entries, key=lambda e: (e.manager.operation, e.time, e.manager.name, e.manager.subresource)):
        if not entry.fields:
            continue
        row: JsonObject = {
            "manager": entry.manager.name,
            "operation": entry.manager.operation,
            "apiVersion": entry.manager.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(entry.fields),
        }
        if entry.manager.subresource:
            row["subresource"] = entry.manager.subresource
        rows.append(row)
    if rows:
        obj["metadata"]["managedFields"] = rows
    else:
        obj["metadata"].pop("managedFields", None)


def conflict_error(conflicts: Sequence[tuple[Manager, Path]]) -> StatusError:
    """Return the 409 that names every manager that owns a field which the configuration would change."""
    causes = []
    lines: dict[str, list[str]] = {}
    for manager, path in conflicts:
        text = f'conflict with "{manager.name}"'
        if manager.subresource:
            text += f' with subresource "{manager.subresource}"'
        text += f" using {manager.api_version}"
        causes.append({"reason": "FieldManagerConflict", "message": text, "field": path_text(path)})
        lines.setdefault(text, []).append(path_text(path))
    count = len(conflicts)
    parts = [
        f"{text}: {fields[0]}" if count == 1 else text + ":\n- " + "\n- ".join(fields) for text, fields in lines.items()
    ]
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: " + "\n".join(parts)
    return StatusError(409, "Conflict", message, details={"causes": causes})


def apply(
    live: JsonObject | None,
    config: JsonObject,
    schema: Schema,
    manager: Manager,
    *,
    force: bool,
    now: str,
    reset: Sequence[Path] = (),
) -> JsonObject:
    """Return the object after ``config`` was applied, managedFields included. Raises StatusError 409.

    Args:
        live: the stored object, None where there is none.
        config: what the manager wants: all of it, each time.
        schema: the kind's schema, which tells the lists that are merged.
        manager: who applies; its operation is Apply.
        force: take over fields that others own.
        now: RFC 3339.
        reset: fields that can't be set through this endpoint (status, or all but status): dropped and not owned.
    """
    config = {key: value for key, value in config.items() if not _below((f"f:{key}",), reset)}
    config = {**config, "metadata": {k: v for k, v in (config.get("metadata") or {}).items() if k != "managedFields"}}
    entries = {entry.manager: entry for entry in read_entries(live)}
    mine = owned(path for path in field_set(config, schema) if not _below(path, reset))
    last = entries.pop(manager, None)
    if live is None:
        created: JsonObject = clone(config)
        write_entries(created, [Entry(manager, mine, now)])
        return created
    bare = _bare(live)
    merged = merge(bare, config, schema)
    if last is not None:
        kept = mine.union(*(entry.fields for entry in entries.values()))
        merged = remove(merged, schema, last.fields, frozenset(kept))
    difference = compare(bare, merged, schema)
    changed = owned(difference.changed)
    conflicts = [(other, path) for other, entry in entries.items() for path in sorted(entry.fields & changed)]
    if conflicts and not force:
        raise conflict_error(conflicts)
    left = [replace(e, fields=e.fields - changed - difference.removed) for e in entries.values()]
    time = last.time if last is not None and last.fields == mine else now
    result: JsonObject = clone(merged)
    write_entries(result, [*left, Entry(manager, mine, time)])
    return result


def track(
    live: JsonObject | None, new: JsonObject, schema: Schema, manager: Manager, *, now: str, reset: Sequence[Path] = ()
) -> None:
    """Set the managedFields of ``new`` after a write that was no apply: what was changed belongs to ``manager``."""
    entries = {} if _is_reset(new) else {entry.manager: entry for entry in read_entries(live)}
    bare = _bare(new)
    difference = compare(_bare(live) if live is not None else {}, bare, schema)
    changed = frozenset(path for path in owned(difference.changed) if not _below(path, reset))
    last = entries.pop(manager, None)
    left = [replace(e, fields=e.fields - changed - difference.removed) for e in entries.values()]
    before = last.fields if last is not None else frozenset()
    mine = (before - difference.removed) | changed
    time = last.time if last is not None and before == mine else now
    write_entries(new, [*left, Entry(manager, mine, time)])


def _is_reset(obj: JsonObject) -> bool:
    return obj["metadata"].get("managedFields") in ([], [{}])


def _bare(obj: JsonObject) -> JsonObject:
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _below(path: Path, tops: Sequence[Path]) -> bool:
    return any(path[: len(top)] == top for top in tops)
