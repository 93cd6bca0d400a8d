# SPDX-License-Identifier: Apache-2.0
"""Reads a user's file and what the command line says beside it, and makes it a job that can be sent to an API."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from accelchain.api import KINDS, ConnectionType, DataFlow, FunctionChain, FunctionType, Resource, SchedulingStrategy
from accelchain.chain.document import DocumentError, field_path, load_documents
from accelchain.chain.resolve import ChainError, resolve_flow
from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.errors import Refused
from accelchain.cli.known import Known

R = TypeVar("R", bound=Resource)
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Job:
    """One DataFlow and the resources that came in its file."""

    flow: DataFlow
    resources: tuple[Resource, ...]
    """Everything else of the file: chains, types, connection types, strategies."""

    def of_kind(self, kind: type[R]) -> list[R]:
        """Return the file's resources of one kind."""
        return [r for r in self.resources if isinstance(r, kind)]

    def namespace(self, wanted: str | None, otherwise: str = "default") -> str:
        """Return the namespace to run in: the one wanted, else the file's, else the one that the cluster suggests.

        Raises:
            Refused: the file's resources name another one, or several.
        """
        named = {r.metadata.namespace for r in (*self.resources, self.flow) if r.namespaced and r.metadata.namespace}
        if len(named | ({wanted} if wanted else set())) > 1:
            given = f"--namespace says {wanted}, " if wanted else ""
            names = ", ".join(sorted(map(str, named)))
            raise Refused(f"metadata.namespace: {given}the file says {names}; all must be one.")
        return wanted or (named.pop() if named else None) or otherwise

    def objects(self, namespace: str) -> list[dict[str, Any]]:
        """Return the Kubernetes objects to create, the DataFlow last."""
        objects = []
        for resource in (*self.resources, self.flow):
            obj = resource.to_dict()
            obj.update(apiVersion=resource.api_version, kind=type(resource).kind_name)
            if resource.namespaced:
                obj["metadata"]["namespace"] = namespace
            objects.append(obj)
        return objects


def says_the_same(mine: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Tell whether two objects of a kind have one meaning: what is left out counts as its default."""
    model = next(kind for kind in KINDS if kind.kind_name == mine["kind"])
    try:
        specs = [model.model_validate({**obj, "status": None}).model_dump()["spec"] for obj in (mine, present)]
    except ValidationError:  # the cluster's is of another version
        return False
    return bool(specs[0] == specs[1])


def read_job(file: str, parameters: Sequence[str] = (), inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> Job:
    """Read a file with exactly one DataFlow and apply ``name=value`` pairs of the command line to it.

    Args:
        file: path of a YAML file, or ``-`` for standard input.
        parameters: ``name=value`` for ``spec.parameters``; values are YAML scalars.
        inputs: ``name=address``; a path counts from the current folder.
        outputs: as ``inputs``.

    Raises:
        Refused: the file can't be read, is not ours, or a pair is malformed.
    """
    text, base = _read(file)
    try:
        resources = load_documents(text, file)
    except DocumentError as error:
        raise Refused(str(error)) from None
    flows = [r for r in resources if isinstance(r, DataFlow)]
    if len(flows) != 1:
        raise Refused(f"{file}: holds {len(flows)} DataFlows; give a file with exactly one.")
    flow = flows[0].model_copy(deep=True)
    for name, address in (*flow.spec.inputs.items(), *flow.spec.outputs.items()):
        address.uri = absolute(address.uri, base, f"{file}: {name}")
    declared = _declared_types(flow, resources)
    spec = flow.spec.model_dump(by_alias=True, exclude_unset=True, mode="json")
    for name, value in _pairs(parameters, "-p"):
        spec.setdefault("parameters", {})[name] = value if declared.get(name) == "string" else _scalar(value)
    for option, field, pairs in (("--input", "inputs", inputs), ("--output", "outputs", outputs)):
        for name, value in _pairs(pairs, option):
            spec.setdefault(field, {})[name] = {"uri": absolute(value, Path.cwd(), f"{option} {name}")}
    try:
        flow.spec = type(flow.spec).model_validate(spec)
    except ValidationError as error:  # the file's part was valid: it is a name of the command line
        first = error.errors()[0]
        raise Refused(f"spec.{field_path(first['loc'])}: {first['msg']}.") from None
    return Job(flow, tuple(r for r in resources if r is not flows[0]))


def check_job(job: Job, known: Known) -> ResolvedFlow:
    """Validate the job as the operators would, before anything is started; what the file holds goes first.

    Raises:
        Refused: with one sentence for every problem.
    """
    types = {(t.function, t.spec.version): t for t in (*known.types, *job.of_kind(FunctionType))}
    try:
        return resolve_flow(
            job.flow,
            chains=_by_name((*known.chains, *job.of_kind(FunctionChain))),
            types=list(types.values()),
            connection_types=_by_name((*known.connection_types, *job.of_kind(ConnectionType))),
            strategies=_by_name((*known.strategies, *job.of_kind(SchedulingStrategy))),
        )
    except ChainError as error:
        raise Refused("\nError: ".join(map(str, error.problems))) from None


def absolute(address: str, base: Path, what: str) -> str:
    """Return an address as a URI: paths become ``file://`` URIs, counted from ``base``.

    Raises:
        Refused: the address is empty.
    """
    if not address:
        raise Refused(f"{what}: the address is empty; give a path or a URI.")
    if _SCHEME.match(address) or address.startswith("$("):
        return address
    return Path(os.path.abspath(base / Path(address).expanduser())).as_uri()


def _read(file: str) -> tuple[str, Path]:
    path = Path(file)
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode("utf-8"), Path.cwd()
        return path.read_text(encoding="utf-8"), path.resolve().parent
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}; give the path of a YAML file.") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: this is no text file; give the path of a YAML file.") from None


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Refused(f"{option} {text}: write name=value.")
        pairs.append((name, value))
    return pairs


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _declared_types(flow: DataFlow, resources: Sequence[Resource]) -> Mapping[str, str]:
    """Types of the chain's parameters, where the chain is in the file; ``-p name=007`` stays text for a string."""
    chain = flow.spec.chain
    if chain is None and flow.spec.chain_ref is not None:
        wanted = flow.spec.chain_ref.name
        chain = next((r.spec for r in resources if isinstance(r, FunctionChain) and r.metadata.name == wanted), None)
    return {p.name: p.type for p in chain.parameters} if chain else {}


def _by_name(resources: Sequence[R]) -> dict[str, R]:
    return {r.metadata.name: r for r in resources}
