# SPDX-License-Identifier: Apache-2.0
"""The other end of init's socket, and commands inside a cluster's namespaces."""

from __future__ import annotations

import json
import signal
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from realkube.errors import ClusterError, tails
from realkube.init import CONTROL

_SECONDS = 10.0


class Control:
    """Starts and ends parts of a cluster, from outside."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def start(self, name: str, argv: Sequence[str], join: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        """Start a part in control groups."""
        self._ask(do="start", name=name, argv=list(argv), join=list(join), descriptors=list(descriptors))

    def restart(self, name: str) -> None:
        """Start a part that has ended, as it was started before."""
        self._ask(do="start", name=name)

    def kill(self, name: str, seconds: float = 20.0) -> None:
        """Kill a part and wait for its end."""
        if name not in self.state():
            raise ClusterError(f"there is no part {name!r}; there are {', '.join(sorted(self.state()))}.")
        self._ask(do="signal", name=name, signal=signal.SIGKILL)
        deadline = time.monotonic() + seconds
        while self.state()[name] is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} did not end within {seconds:.0f} s.")
            time.sleep(0.02)

    def state(self) -> dict[str, int | None]:
        """Return the exit codes of parts by name, None for those that run."""
        parts: dict[str, int | None] = self._ask(do="state")["parts"]
        return parts

    def check(self) -> None:
        """ClusterError where a part has ended, with the tail of its log."""
        for name, code in self.state().items():
            if code is not None:
                raise ClusterError(f"{name} ended with code {code}.{tails(self._root / 'log' / f'{name}.log')}")

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command, for the host, that runs another one inside; the end of the former ends the latter."""
        spaces = ["--net", "--mount", "--pid", "--ipc", "--uts"]
        return ["nsenter", "--target", str(self._pid()), *spaces, "setpriv", "--pdeathsig", "KILL", *map(str, argv)]

    def _pid(self) -> int:
        """Return the pid of init as the host counts: that of the socket's other end."""
        with self._connect() as client:
            size = struct.calcsize("3i")
            pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(pid)

    def _connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(_SECONDS)
        try:
            client.connect(str(self._root / CONTROL))
        except OSError as error:
            client.close()
            raise ClusterError(f"the cluster at {self._root} does not run: {error}.") from error
        return client

    def _ask(self, **request: Any) -> dict[str, Any]:
        with self._connect() as client:
            client.sendall(json.dumps(request).encode() + b"\n")
            reply: dict[str, Any] = json.loads(client.makefile().readline())
        if "error" in reply:
            raise ClusterError(f"{request['do']} {request.get('name', '')}: {reply['error']}")
        return reply
