# SPDX-License-Identifier: Apache-2.0
"""What the commands that containers run have in common: their options, their log, and how they end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from accelchain.cli.errors import FAILED, SUCCEEDED, Refused
from accelchain_operators.kube.client import ApiError
from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.kubeconfig import user_kubeconfigs
from accelchain_operators.kube.lease import LeaseLostError
from accelchain_operators.kube.logs import log_to
from accelchain_operators.kube.preflight import PreflightError
from accelchain_operators.kube.serve import Address

F = TypeVar("F", bound=Callable[..., Any])

_END = 10.0
"""Seconds that a process may take to end; it takes less than two where nothing is wrong."""


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> Address | None:
    """Read ``:8081``, ``127.0.0.1:8081``, or 0 for none."""
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def container_options(command: F) -> F:
    """Give a command the options of all containers: health, metrics, log_format, kubeconfig and context."""
    for option in (
        click.option("--context", help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig; in a pod its own rights."),
        click.option(
            "--log-format",
            type=click.Choice(["json", "text"]),
            default="json",
            show_default=True,
            help="JSON, one object a line, or text for people.",
        ),
        click.option(
            "--metrics-address",
            "metrics",
            callback=_address,
            default=":8080",
            show_default=True,
            help="Where /metrics is served; 0: nowhere.",
        ),
        click.option(
            "--health-address",
            "health",
            callback=_address,
            default=":8081",
            show_default=True,
            help="Where /healthz and /readyz are served; 0: nowhere.",
        ),
    ):
        command = option(command)
    return command


def find_connection(kubeconfig: Path | None, context: str | None) -> Connection:
    """Return the API of a kubeconfig if one is named (``KUBECONFIG`` counts), else that of the cluster we run in.

    Raises:
        Refused: there is neither.
    """
    try:
        if kubeconfig is not None:
            return Connection.from_kubeconfig(kubeconfig, context)
        if context is not None or os.environ.get("KUBECONFIG"):
            return Connection.from_kubeconfig(user_kubeconfigs(), context)
        return Connection.in_cluster()
    except ConfigError as error:
        raise Refused(f"{error}; name a kubeconfig with --kubeconfig.") from None


def home_namespace(connection: Connection) -> str:
    """Return the namespace that this process belongs to: the pod's, else the context's."""
    return os.environ.get("POD_NAMESPACE") or connection.namespace


def run_until_signalled(name: str, log_format: Any, work: Callable[[threading.Event], None]) -> int:
    """Run a container's work until SIGTERM or SIGINT; return the exit code: 0 after a signal, 1 after a failure.

    Args:
        name: the command's, for its log.
        log_format: ``json`` or ``text``.
        work: blocks until the event that it gets is set; in a thread of its own: in the main one kopf would take over
            the signals.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    logger, codes = logging.getLogger(f"accelchain.{name}"), [FAILED]

    def run() -> None:
        try:
            work(stop)
            codes.append(SUCCEEDED)
        except (ApiError, ConfigError, LeaseLostError, PreflightError, OSError) as error:
            logger.critical("%s", _sentence(error))
        except Exception:
            logger.exception("%s ended by a defect", name)
        finally:
            stop.set()

    with log_to(format=log_format):
        # A daemon: nothing that hangs in it may outlive the process.
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        stop.wait()
        thread.join(_END)
        if thread.is_alive():
            logger.critical("%s did not end within %.0f s of being told to", name, _END)
        return codes[-1]


def _sentence(error: Exception) -> str:
    match error:
        case ApiError(code=403):
            return f"a right is missing: {error.message}"
        case ApiError(code=401):
            return f"the Kubernetes API does not accept our credentials: {error.message}"
        case ApiError(code=0):
            return error.message
    return str(error)
