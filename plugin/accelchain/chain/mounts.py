# SPDX-License-Identifier: Apache-2.0
"""Files and credentials of a flow, against the volumes that it mounts."""

from __future__ import annotations

from collections.abc import Iterator

from accelchain.api.common import LocalRef
from accelchain.api.data_flow import DataFlowSpec, S3Access, Volume
from accelchain.chain.environment import normal_address
from accelchain.chain.problems import Problems
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain.chain.values import is_address

_FILE = "file://"


def check_mounts(spec: DataFlowSpec, resolved: ResolvedFlow, *, confined: bool) -> tuple[Problem, ...]:
    """Return what is wrong with addresses of files and with credentials.

    Args:
        spec: the flow.
        resolved: the same, after validation.
        confined: whether workers see no files but those of the flow's volumes.
    """
    problems = Problems()
    _check_credentials(spec, problems)
    for address, origin, written in _addresses(resolved):
        place = normal_address(address)
        if not place.startswith(_FILE):
            continue
        path = place.removeprefix(_FILE)
        volume = _volume_of(path, spec.volumes)
        if volume is None and confined:
            there = ", ".join(v.mount_path for v in spec.volumes)
            what = f"the flow's volumes are mounted at {there}" if there else "the flow has no volumes (spec.volumes)"
            problems.add(
                "InvalidParameter",
                origin,
                f"{address} is in none of them: {what}, and a worker of this cluster opens no other files.",
            )
        elif volume is not None and volume.read_only and written:
            problems.add(
                "InvalidParameter",
                origin,
                f"{address} is in volume '{volume.name}', which is read-only: write elsewhere, or set readOnly: false.",
            )
    return problems.found()


def _check_credentials(spec: DataFlowSpec, problems: Problems) -> None:
    """Check that one address is opened in one way: workers know credentials by address."""
    seen: dict[str, tuple[LocalRef | S3Access, str]] = {}
    for kind, addresses in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        for name, address in addresses.items():
            access = address.credentials_ref or address.s3
            if access is None:
                continue
            field = f"spec.{kind}.{name}.{'s3' if address.credentials_ref is None else 'credentialsRef'}"
            first, where = seen.setdefault(address.uri, (access, field))
            if first != access:
                message = f"{address.uri} is opened in another way by {where}: give both the same."
                problems.add("InvalidParameter", field, message)


def _addresses(resolved: ResolvedFlow) -> Iterator[tuple[str, str, bool]]:
    """Yield every address of a source or a sink, the field that it came from, and whether it is written to."""
    for function in resolved.functions:
        plain = "uri-input" if function.spec.outputs else "uri-output"  # a parameter ``uri`` without a format
        for declaration in function.spec.parameters:
            value = function.parameters.get(declaration.name)
            if isinstance(value, str) and is_address(declaration):
                written = (declaration.format or plain) == "uri-output"
                yield value, function.origins.get(declaration.name, function.path), written


def _volume_of(path: str, volumes: list[Volume]) -> Volume | None:
    """Return the volume that holds a path: the innermost one, where one is mounted in another."""
    holding = [v for v in volumes if path.startswith(f"{v.mount_path}/")]
    return max(holding, key=lambda v: len(v.mount_path), default=None)
