# SPDX-License-Identifier: Apache-2.0
"""What is left of a run: its exit code, its files, and the last words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from accelchain.cli.errors import FAILED, REFUSED, SUCCEEDED, RunFailed
from accelchain.cli.files import write_whole
from accelchain.cli.flow_picture import Shape, picture
from accelchain.cli.pictures import local_path
from accelchain.cli.record import RunRecord
from accelchain.cli.terminal import out, tell
from accelchain.cli.wording import columns


def exit_code(record: RunRecord) -> int:
    """Return the exit code for the way in which a flow ended."""
    end = record.end
    if end is None or end["type"] == "Failed":
        return REFUSED if end and end["reason"] == "InvalidInput" else FAILED
    return SUCCEEDED if end["type"] in ("Succeeded", "Planned") else REFUSED


def write_files(record: RunRecord, shape: Shape | None, graph: Path | None, report: Path | None) -> None:
    """Write the picture and the report of a flow that began to run; a refused one has nothing to report.

    Args:
        record: what was seen of the flow.
        shape: its chain; None where only the operators could resolve it.
        graph: where the picture goes.
        report: where the report goes.

    Raises:
        RunFailed: a file can't be written.
    """
    if exit_code(record) == REFUSED or not (graph or report):
        return
    svg = picture(record.name, shape or Shape.of_status(record.status), record.status, record.document)
    if graph is not None:
        _write(graph, svg)
    if report is not None:
        from accelchain.cli.report import render  # not needed before the end

        _write(report, render(record, svg, report.absolute()))


def print_flow(record: RunRecord) -> None:
    """Print the DataFlow, as it was seen last, as one JSON document."""
    flow: dict[str, Any] = copy.deepcopy(record.flow)
    flow["metadata"].pop("managedFields", None)
    out(json.dumps(flow, indent=2))


def tell_end(record: RunRecord, code: int, *, quiet: bool) -> None:
    """Say how it ended, and why where it failed."""
    end = record.end
    if end is not None and end["type"] == "Planned":
        if not quiet:
            tell(f"{record.name} could run so; nothing was started.")
    elif code == SUCCEEDED:
        if not quiet:
            tell(f"{record.name} succeeded: {record.frames} frames, {record.frames_per_second:.1f} frames/s")
    elif end is None:
        tell(f"Error: DataFlow {record.name} did not end.")
    elif code == REFUSED:
        tell(f"Error: {end['message']}")
    else:
        attempts = record.status.get("failedAttempts", 0)
        tried = f" ({attempts} attempts failed)" if attempts > 1 else ""
        tell(f"Error: {end['reason']}: {end['message']}{tried}")
        if record.log:
            tell("The worker's last lines:\n" + "\n".join(f"  {line}" for line in record.log))
    for warning in record.status.get("warnings", ()) if code != REFUSED else ():
        tell(f"Warning: {warning}")


def print_plan(record: RunRecord) -> None:
    """Print what a dry run found: where every function would run, and the edges between them."""
    status = record.status
    rows = [["FUNCTION", "NODE/DEVICE", "IMPLEMENTATION"]]
    rows += [
        [p["function"], f"{p['node']}/{p['device']}", f"{p['implementation']} {p.get('version', '')}".rstrip()]
        for p in status.get("placement", ())
    ]
    edges = [["FROM", "TO", "MECHANISMS"]]
    for connection in (status.get("plan") or {}).get("connections", ()):
        ends = [f"{connection[end]['function']}.{connection[end]['port']}" for end in ("from", "to")]
        edges.append([*ends, ", ".join(connection["mechanisms"]) or "any that is verified"])
    out("\n".join([*columns(rows), "", *columns(edges)]))


def print_paths(record: RunRecord, code: int, graph: Path | None, report: Path | None) -> None:
    """Print where the results are, a line each, last of all."""
    if code == REFUSED:
        return
    artifacts = record.status.get("outputs", {}).get("artifacts", ()) if code == SUCCEEDED else ()
    for artifact in artifacts:
        out(str(local_path(artifact["uri"]) or artifact["uri"]))
    for path in (graph, report):
        if path is not None:
            out(str(path.absolute()))


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise RunFailed(f"{path}: {error.strerror}.") from None
