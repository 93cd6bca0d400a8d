# SPDX-License-Identifier: Apache-2.0
"""What the operators' container runs: ``python -m accelchain_operators``.

Outside a cluster the API is that of ``KUBECONFIG`` (one file).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import ConfigError
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.main import run_operators


def _client() -> HttpClient:
    path = os.environ.get("KUBECONFIG")
    return HttpClient.from_kubeconfig(Path(path)) if path else HttpClient.in_cluster()


def main() -> int:
    """Run until SIGTERM or SIGINT; return the process's exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    failure: list[BaseException] = []

    def run() -> None:
        try:
            run_operators(_client, stop, threading.Event())
        except BaseException as error:
            failure.append(error)
            if not isinstance(error, ApiError | ConfigError):
                raise
        finally:
            stop.set()

    # A thread of its own: in the main one kopf would take over the signals.
    thread = threading.Thread(target=run, name="operators")
    thread.start()
    stop.wait()
    thread.join()
    if failure and isinstance(failure[0], ApiError | ConfigError):
        print(f"accelchain operators: {failure[0]}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
