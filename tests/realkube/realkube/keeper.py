# SPDX-License-Identifier: Apache-2.0
"""The process on the host that keeps a cluster: it ends and cleans it when told to or when its owner has gone.

What would outlive the namespaces is a tree of control groups and a folder. Both are recorded in a file that the keeper
holds locked, so that a later start can clean what a killed keeper has left.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from realkube.cgroups import Tree
from realkube.errors import RefusedError
from realkube.machine import SEARCH_PATH, namespaces

RECORDS = Path("/run")
PREFIX = "realkube-"  # of clusters' names
PLANE = "plane"


def main() -> None:
    """Keep one cluster: print the port of its relay, run it, clean up after it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("root", type=Path)
    parser.add_argument("--owner", type=int, help="descriptor of a pipe; the cluster ends with its other end")
    arguments = parser.parse_args()
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    record = RECORDS / arguments.name
    tree = Tree.of(arguments.name)
    with _locked(record, arguments.root):
        try:
            tree.create(PLANE)
            _run(tree, arguments.root, [wake.fileno(), *([] if arguments.owner is None else [arguments.owner])])
        except RefusedError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
        finally:
            _clean(tree, arguments.root)
            record.unlink()


def clean_leftovers() -> None:
    """Clean what clusters have left whose keeper was killed."""
    for record in RECORDS.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(record) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if record.exists():
                _clean(Tree.of(record.name), Path(json.load(file)["root"]))
                record.unlink()


def is_kept(name: str) -> bool:
    """Return whether a cluster's keeper runs."""
    try:
        with open(RECORDS / name) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


@contextlib.contextmanager
def _locked(record: Path, root: Path) -> Iterator[None]:
    """Hold a cluster's record; whoever sees the file sees it locked."""
    unready = record.with_name(f".{record.name}")
    with open(unready, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"root": str(root)}, file)
        file.flush()
        unready.rename(record)
        yield


def _run(tree: Tree, root: Path, descriptors: list[int]) -> None:
    """Run init until a descriptor is readable or init has ended."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    descriptor = listener.fileno()

    def join() -> None:
        for file in tree.procs(PLANE):
            Path(file).write_text("0")

    command = [*namespaces(), sys.executable, "-m", "realkube.init", str(root)]
    log_path = root / "log" / "init.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            command,
            cwd="/",
            env={"PATH": SEARCH_PATH, "HOME": str(root), "PYTHONPATH": os.environ["PYTHONPATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            preexec_fn=join,
        )
    print(json.dumps({"port": listener.getsockname()[1], "listener": descriptor}), flush=True)
    listener.close()  # init holds it, in a network namespace that it does not belong to
    end = os.pidfd_open(process.pid)
    ready, _, _ = select.select([end, *descriptors], [], [])
    if end in ready:
        with contextlib.suppress(BrokenPipeError):  # who started the cluster reads on only until it runs
            print(json.dumps({"code": process.wait(), "log": log_path.read_text()}), flush=True)
    else:
        tree.kill()
        process.wait()


def _clean(tree: Tree, root: Path) -> None:
    tree.kill()
    tree.remove()
    if root.exists():
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
