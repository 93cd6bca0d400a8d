# SPDX-License-Identifier: Apache-2.0
"""Says in words what is known of a DataFlow. Pure: objects in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelchain.cli.wording import bandwidth, columns, latency

JsonObject = dict[str, Any]


def describe_flow(flow: JsonObject, events: Sequence[JsonObject] = ()) -> str:
    """Return the description of a DataFlow: conditions, placement, edges, results, events."""
    spec, status = flow["spec"], flow.get("status") or {}
    meta = flow["metadata"]
    lines = [
        f"Name:       {meta['name']}",
        f"Namespace:  {meta['namespace']}",
        f"Created:    {meta.get('creationTimestamp', '')}",
        f"Chain:      {spec.get('chainRef', {}).get('name') or '(inline)'}",
        f"Mode:       {spec.get('mode', 'Batch')}",
        f"Phase:      {status.get('phase') or 'Pending'}",
    ]
    progress = status.get("progress")
    if progress:
        total = f" of {progress['total']}" if progress.get("total") else ""
        lines.append(f"Progress:   {progress['frames']}{total} frames, {progress['framesPerSecond']:.1f} frames/s")
    lines += _section("Inputs", [(name, a["uri"]) for name, a in sorted(spec.get("inputs", {}).items())])
    lines += _section("Outputs", [(name, a["uri"]) for name, a in sorted(spec.get("outputs", {}).items())])
    lines += _section(
        "Conditions",
        [(c["type"], c["status"], c["reason"], c.get("message", "")) for c in status.get("conditions", ())],
    )
    lines += _section(
        "Placement",
        [
            (p["function"], f"{p['node']}/{p['device']}", f"{p['implementation']} {p.get('version', '')}")
            for p in status.get("placement", ())
        ],
    )
    lines += _section(
        "Edges",
        [
            (
                f"{e['from']} → {e['to']}",
                e.get("mechanism") or "—",
                f"{e.get('copies', 0)} copies",
                latency(e),
                f"{bandwidth(e)} GB/s",
                "verified" if e.get("verified") else "not verified",
            )
            for e in status.get("edges", ())
        ],
    )
    lines += _section("Workers", [(w["pod"], w.get("address", "")) for w in status.get("workers", ())])
    lines += _section("Results", [(p["name"], p["value"]) for p in status.get("outputs", {}).get("parameters", ())])
    lines += _section("Warnings", [(w,) for w in status.get("warnings", ())])
    lines += _section(
        "Events",
        [(e.get("type", ""), e.get("reason", ""), e.get("note") or e.get("message", "")) for e in events],
    )
    return "\n".join(lines)


def _section(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in columns(rows))] if rows else []
