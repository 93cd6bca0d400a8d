# SPDX-License-Identifier: Apache-2.0
"""The operators, as a call. The rest is elsewhere.

``kube/separation.py`` tells which controller reads what, ``kube/dispatch.py`` which of them look at a change,
``kube/operators.py`` which controllers there are, ``reconcile/`` and ``scheduler/`` what they decide; ``kube/life.py``
starts and ends it all, and ``kube/transport.py`` has kopf bring the events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.life import Life, Post
from accelchain_operators.kube.running import run_until
from accelchain_operators.kube.separation import CONTROLLERS
from accelchain_operators.reconcile.worker_options import LaptopOptions, WorkerOptions


def run_operators(
    client_factory: Callable[[], HttpClient],
    stop: threading.Event,
    ready: threading.Event,
    *,
    worker: WorkerOptions | None = None,
    controllers: Sequence[str] = CONTROLLERS,
    namespaces: Sequence[str] = (),
    post: Post | None = None,
) -> None:
    """Run operators in an event loop of their own until ``stop`` is set. Blocks: give it a thread.

    Args:
        client_factory: Makes clients; kopf logs in as they do.
        stop: Ends the operators within two seconds.
        ready: Set once all objects are known and changes are seen, whether this process leads or not.
        worker: How worker Pods are made; None: as processes of this machine.
        controllers: Which of ``separation.READS`` this process runs; by default those that every cluster needs.
        namespaces: Whose flows and chains; everybody's where it is empty.
        post: What there is in a cluster besides; None: a laptop.

    Raises:
        ApiError: the API does not answer, refuses, or does not know our kinds.
        PreflightError: the API was waited for in vain, or lacks our kinds as this version needs them.
        LeaseLostError: others may lead by now: end the process at once.
        OSError: an address to serve at is taken.
        RuntimeError: a part of the operators ended by itself.
        ValueError: there is no such controller.
    """
    life = Life(client_factory, ready, worker or LaptopOptions(), controllers, namespaces, post)
    run_until(stop, life.run())
