# SPDX-License-Identifier: Apache-2.0
"""Starts operators as processes that can be killed: imports once, then forks one for each line on stdin.

A line is a JSON object: ``id``, ``controllers``, ``url``, ``token``, ``ca``, ``lease`` (seconds, or null). Answers on
stdout: ``{"id", "pid"}`` when it began, ``{"id", "ready": true}``, ``{"id", "status"}`` when it ended (below 0: by that
signal); and ``{"id", "tasks"}``, those of flows, after a SIGUSR1 to the operator. After a SIGUSR2 its stacks are on
stderr. The zygote ends, and ends all of them, when stdin ends.

The operators are those of a cluster in all but their times, which are shortened: a lost node costs seconds.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import logging
import os
import select
import signal
import sys
import threading
from typing import Any

from accelchain_operators.kube import heartbeats, queue, streams
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.lease import LeaseLostError
from accelchain_operators.kube.life import Post
from accelchain_operators.kube.preflight import PreflightError
from accelchain_operators.main import run_operators
from accelchain_operators.reconcile import attempts, pod, running, waiting

GAVE_UP = 1
"""Exit status of an operator that lost its Lease, or met no API that works when it began: it is to be started again."""
HOME = "kube-system"
"""Namespace of the operators, and so of all Leases."""
OF_FLOWS = ("stream of ", "grant to ", "owner ")
"""How the names of tasks begin that are there for a flow."""
CALLS_A_SECOND = 400.0
GRANT_PERIOD = 0.2
STALE_AFTER = 3.0
LOST_AFTER = 1.0


def hurry() -> None:
    """Shorten what operators wait for, by 5 to 60 times."""
    attempts._FIRST_PAUSE.update({"function": 0.4, "device": 0.2, "infrastructure": 0.1})
    attempts.LOST_AFTER, attempts.LOOK_PERIOD = LOST_AFTER, 1.0
    heartbeats.STALE_AFTER = STALE_AFTER
    pod.GRACE_SECONDS.update(Batch=1, Stream=1)
    queue.LONGEST_DELAY = 2.0
    running.END_GRACE, running.PUBLISH_GRACE, running.PROGRESS_PERIOD = 3.0, 6.0, 3.0
    vars(running)["DEADLINE_GRACE"] = 1.0  # another module's, held there by its value
    streams.SILENCE, streams.GRANT_PERIOD, streams.LONGEST_PAUSE = 3.0, GRANT_PERIOD, 0.5
    waiting.SECRET_PERIOD = 1.0


def main() -> None:
    hurry()
    children: dict[int, str] = {}
    wake_out, wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""
    while True:
        ready, _, _ = select.select([0, wake_out], [], [])
        if wake_out in ready:
            os.read(wake_out, 4096)
            _reap(children)
        if 0 not in ready:
            continue
        piece = os.read(0, 65536)
        if not piece:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(0)
                os._exit(_run(order))
            children[pid] = order["id"]
            _say(id=order["id"], pid=pid)


def _reap(children: dict[int, str]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _say(id=children.pop(pid), status=os.waitstatus_to_exitcode(status))


def _say(**document: Any) -> None:
    os.write(1, json.dumps(document).encode() + b"\n")  # one write: lines of several processes never mix


def _all_tasks() -> list[asyncio.Task[Any]]:
    loops = [o for o in gc.get_objects() if isinstance(o, asyncio.BaseEventLoop) and o.is_running()]
    return [task for loop in loops for task in asyncio.all_tasks(loop)]


def _print_stacks() -> None:
    """Say where a process is that does not end."""
    faulthandler.dump_traceback()
    for task in _all_tasks():
        task.print_stack()


def _tasks() -> list[str]:
    """Return the names of some tasks that belong to flows; no more than fit into one write of a pipe."""
    names = sorted(task.get_name() for task in _all_tasks())
    return [name[:60] for name in names if name.startswith(OF_FLOWS)][:40]


def _run(order: dict[str, Any]) -> int:
    """Be an operator until SIGTERM; return the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop, ready = threading.Event(), threading.Event()
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s {order['id']} %(levelname)s %(name)s: %(message)s", force=True
    )
    os.environ["POD_NAME"] = order["id"]
    connection = Connection(order["url"], order["token"], ca=order["ca"])
    lease = order["lease"]
    leases = LeaseOptions(lease, lease * 2 / 3, lease / 10) if lease else None
    code = 0

    def work() -> None:
        nonlocal code
        try:
            run_operators(
                lambda: HttpClient(connection=connection, qps=CALLS_A_SECOND),
                stop,
                ready,
                controllers=order["controllers"],
                post=Post(HOME, leases),
            )
        except (LeaseLostError, PreflightError, ApiError) as error:
            logging.warning("%s", error)
            code = GAVE_UP
        except BaseException:
            logging.exception("the operator failed")
            code = 3
        finally:
            stop.set()

    def announce() -> None:
        ready.wait()
        _say(id=order["id"], ready=True)

    signal.signal(signal.SIGUSR2, lambda *_: _print_stacks())
    signal.signal(signal.SIGUSR1, lambda *_: _say(id=order["id"], tasks=_tasks()))

    threading.Thread(target=announce, daemon=True).start()
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        if told:  # not in the handler: this thread may be inside of the event's lock
            stop.set()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main()
