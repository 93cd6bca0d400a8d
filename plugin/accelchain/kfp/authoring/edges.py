# SPDX-License-Identifier: Apache-2.0
"""Edges of a chain, checked where its functions are installed here (the pass checks them again, and all else)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.kfp_objects import edges
from accelchain.kfp.authoring.known import Manifest, function_name, manifests
from accelchain.kfp.authoring.marks import mark_of

Port = Mapping[str, Any]


def check_edges(chain: str, tasks: Mapping[str, Any]) -> None:
    """Check that what one task hands to another fits: an output port to an input port of the same kind.

    Raises:
        AuthoringError: with a line for each edge that does not.
    """
    known = {title: manifest for title, task in tasks.items() if (manifest := _manifest(mark_of(task) or {}))}
    problems = []
    for producer, output, consumer, name in edges(tasks):
        source = _port(known.get(producer), "outputs", mark_of(tasks[producer]) or {}, output)
        target = _port(known.get(consumer), "inputs", mark_of(tasks[consumer]) or {}, name)
        if source is None or target is None:
            continue
        if reason := _misfit(source, target):
            problems.append(
                f"chain '{chain}', task '{consumer}', input '{name}': '{producer}.{output}' carries {reason}: put a "
                "function between them, or feed it from another task."
            )
    if problems:
        raise AuthoringError("\n".join(problems))


def _manifest(mark: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of a mark's function; None where it is not installed here, or in several versions."""
    wanted = mark.get("version")
    found = [
        manifest
        for manifest in manifests()
        if function_name(manifest) == mark.get("function")
        and wanted in (None, manifest["spec"].get("version", "1.0.0"))
    ]
    return found[0] if len(found) == 1 else None


def _port(manifest: Manifest | None, side: str, mark: Mapping[str, Any], name: str) -> Port | None:
    """Return the port that a component's input or output is, None where it is none or not known."""
    ports: Sequence[Port] = (manifest["spec"].get(side) or ()) if manifest else ()
    said: Mapping[str, str] = mark.get(side) or {}
    named = next((port for port, own in said.items() if own == name), name)
    return next((port for port in ports if _same(port["name"], named)), None)


def _same(one: str, other: str) -> bool:
    return one.replace("_", "-") == other.replace("_", "-")


def _misfit(source: Port, target: Port) -> str | None:
    kinds = source.get("type", "tensor"), target.get("type", "tensor")
    if kinds[0] != kinds[1]:
        return f"{kinds[0]}, {kinds[1]} are wanted"
    elements = source.get("dtype", "uint8"), target.get("dtype", "uint8")
    if elements[0] != elements[1]:
        return f"{elements[0]}, {elements[1]} is wanted"
    return None
