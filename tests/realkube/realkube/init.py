# SPDX-License-Identifier: Apache-2.0
"""The first process of a cluster's namespaces: it starts and ends the parts that it is told to, and reaps orphans.

Its end ends every process, pod and mount of the cluster. It hides the host's /run, keeps what is written under
/var/lib and /var/log in memory, and shows the kubelet kernel settings that suit it, so that it changes no real ones.

Requests are lines of JSON on a unix socket, each answered by one line:
``{"do": "start", "name": …, "argv": […], "join": [cgroup.procs files], "descriptors": […]}`` (a name: as before),
``{"do": "signal", "name": …, "signal": n}``, and ``{"do": "state"}``: exit codes by name, null for what runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REFUSED = 77  # exit code: the machine refused something
CONTROL = "control.sock"
SETTINGS = {  # what the kubelet and kube-proxy would set for the whole machine
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_CLIENT_SECONDS = 5.0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True, timeout=30)


def prepare() -> None:
    """Make the cluster's own view of the file system."""
    _mount("-t", "tmpfs", "-o", "mode=755", "realkube", "/run")
    scratch = Path("/run/realkube")
    for index, folder in enumerate(("/var/lib", "/var/log")):
        upper, work = scratch / f"upper{index}", scratch / f"work{index}"
        upper.mkdir(parents=True)
        work.mkdir()
        _mount("-t", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", "realkube", folder)
    for index, (name, value) in enumerate(SETTINGS.items()):
        setting = scratch / f"setting{index}"
        setting.write_text(f"{value}\n")
        _mount("--bind", str(setting), f"/proc/sys/{name}")
    _mount("--make-rshared", "/")  # volumes that the kubelet mounts must appear in pods
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


class Parts:
    """The processes of a cluster by name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._requests: dict[str, Mapping[str, Any]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._codes: dict[str, int | None] = {}

    def start(self, request: Mapping[str, Any]) -> None:
        """Start a part; its output goes to ``log/<name>.log``."""
        name = request["name"]
        if name in self._running:
            raise ValueError(f"{name} runs already")
        if "argv" in request:
            self._requests[name] = request
        request = self._requests[name]

        def join() -> None:
            for file in request["join"]:
                Path(file).write_text("0")

        with open(self._root / "log" / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                request["argv"],
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=join,
                pass_fds=request.get("descriptors", ()),
            )
        self._codes[name] = None

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a part; nothing where it has ended."""
        if name in self._running:
            os.kill(self._running[name].pid, number)

    def state(self) -> dict[str, int | None]:
        """Return the exit codes."""
        return self._codes

    def reap(self) -> None:
        """Take note of what has ended: parts, and orphans of containers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, process in list(self._running.items()):
                if process.pid == pid:
                    self._codes[name] = process.returncode = os.waitstatus_to_exitcode(status)
                    del self._running[name]


def answer(parts: Parts, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks."""
    match request["do"]:
        case "start":
            parts.start(request)
        case "signal":
            parts.signal(request["name"], request["signal"])
        case "state":
            return {"parts": parts.state()}
        case other:
            raise ValueError(f"unknown request {other!r}")
    return {}


def serve(root: Path) -> None:
    """Answer requests for ever."""
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    parts = Parts(root)
    with socket.socket(socket.AF_UNIX) as listener:
        unready = root / f"{CONTROL}.unready"  # whoever sees the socket can connect to it
        listener.bind(str(unready))
        unready.chmod(0o600)
        listener.listen(64)
        unready.rename(root / CONTROL)
        while True:
            ready, _, _ = select.select([listener, wake], [], [])
            if wake in ready:
                wake.recv(4096)
                parts.reap()
            if listener in ready:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):  # a client that has gone away
                    client.settimeout(_CLIENT_SECONDS)
                    try:
                        reply = answer(parts, json.loads(client.makefile().readline()))
                    except (ValueError, KeyError, OSError, subprocess.SubprocessError) as error:
                        reply = {"error": f"{type(error).__name__}: {error}"}
                    client.sendall(json.dumps(reply).encode() + b"\n")


def main() -> None:
    """Run as the first process: the argument is the cluster's root."""
    try:
        prepare()
    except subprocess.CalledProcessError as error:
        print(error.stderr.strip(), file=sys.stderr)
        sys.exit(REFUSED)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    serve(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
