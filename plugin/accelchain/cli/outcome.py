# SPDX-License-Identifier: Apache-2.0
"""What is left of a run: its exit code, its files, and the last words."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.errors import FAILED, REFUSED, SUCCEEDED, RunFailed
from accelchain.cli.files import write_whole
from accelchain.cli.pictures import local_path
from accelchain.cli.record import RunRecord
from accelchain.cli.terminal import out, tell


def exit_code(record: RunRecord) -> int:
    """Return the exit code for the way in which a flow ended."""
    end = record.end
    if end is None or end["type"] == "Failed":
        return REFUSED if end and end["reason"] == "InvalidInput" else FAILED
    return SUCCEEDED if end["type"] == "Succeeded" else REFUSED


def write_files(record: RunRecord, flow: ResolvedFlow, graph: Path | None, report: Path | None) -> None:
    """Write the picture and the report of a flow that began to run; a refused one has nothing to report.

    Raises:
        RunFailed: a file can't be written.
    """
    if exit_code(record) == REFUSED or not (graph or report):
        return
    from accelchain.cli.flow_picture import picture  # neither is needed before the end
    from accelchain.cli.report import render

    svg = picture(record.name, flow, record.status, record.document)
    if graph is not None:
        _write(graph, svg)
    if report is not None:
        _write(report, render(record, svg, report.absolute()))


def print_flow(record: RunRecord) -> None:
    """Print the DataFlow, as it was seen last, as one JSON document."""
    flow: dict[str, Any] = copy.deepcopy(record.flow)
    flow["metadata"].pop("managedFields", None)
    out(json.dumps(flow, indent=2))


def tell_end(record: RunRecord, code: int, *, quiet: bool) -> None:
    """Say how it ended, and why where it failed."""
    end = record.end
    if code == SUCCEEDED:
        if not quiet:
            tell(f"{record.name} succeeded: {record.frames} frames, {record.frames_per_second:.1f} frames/s")
    elif end is None:
        tell(f"Error: DataFlow {record.name} did not end.")
    elif code == REFUSED:
        tell(f"Error: {end['message']}")
    else:
        tell(f"Error: {end['reason']}: {end['message']}")
        if record.log:
            tell("The worker's last lines:\n" + "\n".join(f"  {line}" for line in record.log))
    for warning in record.status.get("warnings", ()) if code != REFUSED else ():
        tell(f"Warning: {warning}")


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
