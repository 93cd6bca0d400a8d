# SPDX-License-Identifier: Apache-2.0
"""Says in words what is known of a DataFlow. Pure: objects in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelchain.cli.advice import advice
from accelchain.cli.wording import bandwidth, columns, latency

JsonObject = dict[str, Any]


def describe_flow(flow: JsonObject, events: Sequence[JsonObject] = (), hidden: str = "") -> str:
    """Return the description of a DataFlow: conditions, attempts, placement, edges, results, events, what to do.

    Args:
        flow: the DataFlow.
        events: those of the flow and of its pods, oldest first.
        hidden: why there are no events, where the user may not see them.
    """
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
    if status.get("attempt", 0) > 1 or status.get("failures"):
        limit = (spec.get("retries") or {}).get("limit", 0)
        failed = status.get("failedAttempts", len(status.get("failures", ())))
        lines.append(f"Attempt:    {status.get('attempt', 1)} ({failed} failed; {limit} retries allowed)")
    if status.get("position"):
        lines.append(f"Position:   {status['position']} frames published by earlier attempts")
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
        "Failed attempts",
        [(str(f["attempt"]), f.get("time", ""), f["reason"], f.get("message", "")) for f in status.get("failures", ())],
    )
    lines += _section("Volumes", [_volume(v) for v in spec.get("volumes", ())])
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
        [(f"not shown: {hidden}",)] if hidden else [_event(e) for e in events],
    )
    lines += _section("What to do", [(text,) for text in advice(flow)])
    return "\n".join(lines)


def _volume(volume: JsonObject) -> tuple[str, ...]:
    claim = volume["persistentVolumeClaim"]["claimName"]
    return volume["mountPath"], f"PersistentVolumeClaim {claim}", "read only" if volume.get("readOnly") else ""


def _event(event: JsonObject) -> tuple[str, ...]:
    about = event.get("regarding") or {}
    subject = "" if about.get("kind") == "DataFlow" else f"{about.get('kind', '')} {about.get('name', '')}".strip()
    count = (event.get("series") or {}).get("count", 1)
    reason = event.get("reason", "") + (f" (x{count})" if count > 1 else "")
    return event.get("type", ""), reason, subject, event.get("note") or event.get("message", "")


def _section(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in columns(rows))] if rows else []
