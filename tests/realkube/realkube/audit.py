# SPDX-License-Identifier: Apache-2.0
"""Reads the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILE = "audit.jsonl"


class Audited(NamedTuple):
    """A request that the API server answered; the resource is empty where it was for none (``/readyz``)."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    code: int


def read(root: Path) -> Iterator[Audited]:
    """Yield the requests that were answered so far; a watch is written when it begins and once more when it ends."""
    with open(root / FILE) as log:
        for line in log:
            if not line.endswith("\n"):
                return  # it is being written
            event = json.loads(line)
            target = event.get("objectRef", {})
            yield Audited(
                user=event["user"].get("username", ""),  # nobody was let in
                verb=event["verb"],
                group=target.get("apiGroup", ""),
                resource=target.get("resource", ""),
                subresource=target.get("subresource", ""),
                namespace=target.get("namespace", ""),
                code=event.get("responseStatus", {}).get("code", 0),
            )
