# SPDX-License-Identifier: Apache-2.0
"""Addresses that make no sense where a flow is to run. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from accelchain.api import DataFlow
from accelchain.cli.errors import Refused


def check_for_cluster(flow: DataFlow) -> None:
    """Refuse files of this machine in a flow that runs in a cluster: its workers see only the flow's volumes.

    Raises:
        Refused: with one sentence for every address.
    """
    folders = [volume.mount_path for volume in flow.spec.volumes]
    problems = []
    for field, addresses in (("inputs", flow.spec.inputs), ("outputs", flow.spec.outputs)):
        for name, address in sorted(addresses.items()):
            parts = urlsplit(address.uri)
            if parts.scheme != "file" or _within(unquote(parts.path), folders):
                continue
            where = f"outside of the flow's volumes ({', '.join(folders)})" if folders else "a file of this machine"
            problems.append(
                f"spec.{field}.{name}.uri: {address.uri} is {where}, and workers in a cluster can't see it: give an "
                "http(s), s3 or rtsp(s) address, or a path in one of spec.volumes."
            )
    if problems:
        raise Refused("\nError: ".join(problems))


def _within(path: str, folders: list[str]) -> bool:
    pure = PurePosixPath(path)
    return ".." not in pure.parts and any(pure.is_relative_to(folder) for folder in folders)
