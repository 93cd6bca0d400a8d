# SPDX-License-Identifier: Apache-2.0
"""A body's DataFlow against its chain: parameters, addresses, edges. What only Argo knows is unknown, not wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from accelchain.api import API_VERSION, DataFlow
from accelchain.argo.core.body import PATH
from accelchain.argo.core.unknown import JsonObject, is_unknown, value_at
from accelchain.argo.lint.finding import Known
from accelchain.argo.lint.repair import location_of
from accelchain.chain.resolve import ChainError, resolve_flow
from accelchain.chain.resolved import Problem

DATAFLOW = f"{PATH}.dataflow"


def with_chain(spec: JsonObject, known: Known) -> JsonObject:
    """Return the spec with its chain in it, where that is known."""
    name = (spec.get("chainRef") or {}).get("name")
    if "chain" in spec or not isinstance(name, str) or name not in known.chains:
        return spec
    return {**spec, "chain": known.chains[name].spec.to_dict()}


def check_chain(
    given: JsonObject, spec: JsonObject, artifacts: Mapping[tuple[str, str], str], known: Known
) -> Iterator[tuple[str, str, bool]]:
    """Yield what is wrong as path within the template, sentence, and whether it is only odd.

    Args:
        given: the DataFlow's spec as the author wrote it.
        spec: the same with stand-ins, and the addresses of artifacts.
        artifacts: the template's artifacts: (``inputs`` or ``outputs``, name) and the field.
        known: what there is beside the document.
    """
    try:
        flow = DataFlow.model_validate({"apiVersion": API_VERSION, "kind": "DataFlow", "spec": spec})
        resolve_flow(
            flow,
            chains=known.chains,
            types=known.types,
            connection_types=known.connection_types,
            strategies=known.strategies,
        )
    except ChainError as error:
        for problem in error.problems:
            yield from _told(problem, given, artifacts, known)
    yield from _local_files(given, spec)


def _told(
    problem: Problem, given: JsonObject, artifacts: Mapping[tuple[str, str], str], known: Known
) -> Iterator[tuple[str, str, bool]]:
    path = problem.path
    if path != "spec" and not path.startswith(("spec.", "spec[")):
        yield path, problem.message, False
        return
    location = location_of(path)[1:]
    if problem.reason != "UnknownParameter" and is_unknown(value_at(given, location)[1]):
        return
    field = DATAFLOW + path.removeprefix("spec")
    if problem.reason == "UnknownChain" and "chainRef" in given and not known.complete:
        name = given["chainRef"]["name"]
        yield (
            field,
            f"FunctionChain '{name}' is in none of the files, so its parameters, inputs and outputs are not checked: "
            "give its file too, or name a cluster with --context.",
            True,
        )
        return
    if len(location) >= 2 and (key := (str(location[0]), str(location[1]))) in artifacts:
        field = f"{artifacts[key]}.name"
    elif len(location) == 2 and location[0] in ("inputs", "outputs") and problem.reason.startswith("Missing"):
        kind = str(location[0])
        yield field, f"{problem.message.removesuffix('.')}, or declare {kind}.artifacts '{location[1]}'.", False
        return
    yield field, problem.message, False


def _local_files(given: JsonObject, spec: JsonObject) -> Iterator[tuple[str, str, bool]]:
    """Yield addresses of files that no worker in a cluster sees."""
    folders = [volume.get("mountPath", "") for volume in spec.get("volumes") or ()]
    for side in ("inputs", "outputs"):
        for name, address in sorted((given.get(side) or {}).items()):
            uri: Any = address.get("uri") if isinstance(address, dict) else None
            parts = urlsplit(uri) if isinstance(uri, str) and not uri.startswith("{{") else None
            if parts is None or parts.scheme != "file" or _within(unquote(parts.path), folders):
                continue
            yield (
                f"{DATAFLOW}.{side}.{name}.uri",
                f"{uri} is in none of dataflow.volumes, and workers can't see it: give an http(s), s3 or rtsp(s) "
                "address, or mount a volume there.",
                False,
            )


def _within(path: str, folders: list[str]) -> bool:
    pure = PurePosixPath(path)
    return ".." not in pure.parts and any(pure.is_relative_to(folder) for folder in folders if folder)
