# SPDX-License-Identifier: Apache-2.0
"""What is known of a running cluster, in its folder, so that other processes can use it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from realkube.errors import ClusterError
from realkube.plane import Options

_FILE = "cluster.json"


@dataclasses.dataclass
class State:
    """A running cluster.

    Attributes:
        name: unique on the machine.
        programs: the folder of the control plane's programs.
        port: where the relay to the API server listens on the host's loopback.
        keeper: process id of its keeper.
        options: as it was started.
        nodes: the numbers of the nodes.
        last_node: the highest number that was ever given.
    """

    name: str
    programs: str
    port: int
    keeper: int
    options: Options
    nodes: list[int] = dataclasses.field(default_factory=list)
    last_node: int = 0

    def write(self, root: Path) -> None:
        """Write it to the cluster's folder; readers see it whole."""
        unready = root / f".{_FILE}"
        unready.write_text(json.dumps(dataclasses.asdict(self)))
        unready.rename(root / _FILE)

    @classmethod
    def read(cls, root: Path) -> State:
        """Read what was written last; ClusterError where there is nothing."""
        try:
            data = json.loads((root / _FILE).read_text())
        except FileNotFoundError:
            raise ClusterError(f"no cluster runs at {root}.") from None
        return cls(**{**data, "options": Options(**data["options"])})
