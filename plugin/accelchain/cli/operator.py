# SPDX-License-Identifier: Apache-2.0
"""``accelchain operator``: operators as a container runs them."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from accelchain.cli.container import container_options, find_connection, home_namespace, run_until_signalled
from accelchain.cli.errors import Refused
from accelchain_operators.kube.election import LeaseOptions
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.separation import CONTROLLERS, watched
from accelchain_operators.kube.serve import Address
from accelchain_operators.reconcile.worker_options import WorkerOptions, WorkerOptionsError, load_worker_options

_TIMES = LeaseOptions()


@click.command()
@click.option(
    "--controllers",
    default=",".join(CONTROLLERS),
    show_default=True,
    metavar="NAME,…",
    help="Which operators this process runs; taskset besides, where Argo Workflows is installed.",
)
@click.option(
    "-n", "--namespace", "namespaces", multiple=True, help="Whose flows and chains; repeatable; all where absent."
)
@click.option(
    "--leader-elect/--no-leader-elect", default=True, show_default=True, help="Work only while holding a Lease."
)
@click.option("--lease-duration", type=click.IntRange(2), default=_TIMES.duration, show_default=True, help="Seconds.")
@click.option("--renew-deadline", type=float, default=_TIMES.renew_deadline, show_default=True, help="Seconds.")
@click.option("--retry-period", type=float, default=_TIMES.retry_period, show_default=True, help="Seconds.")
@click.option("--worker-config", type=click.Path(path_type=Path), help="YAML file: how worker Pods are made.")
@container_options
def operator(
    controllers: str,
    namespaces: tuple[str, ...],
    leader_elect: bool,
    lease_duration: int,
    renew_deadline: float,
    retry_period: float,
    worker_config: Path | None,
    health: Address | None,
    metrics: Address | None,
    log_format: str,
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Run operators in or for a cluster, until SIGTERM.

    In a pod they have the rights of its ServiceAccount; POD_NAMESPACE is the namespace of their Leases. Ends with 1,
    and one sentence, where a Lease is lost, a right is missing, or the cluster lacks accelchain's CRDs.
    """
    chosen = tuple(filter(None, (name.strip() for name in controllers.split(","))))
    try:
        watched(chosen)
        times = LeaseOptions(lease_duration, renew_deadline, retry_period)
        worker = load_worker_options(worker_config) if worker_config is not None else WorkerOptions()
    except (ValueError, WorkerOptionsError) as error:
        raise Refused(f"{error}.") from None
    connection = find_connection(kubeconfig, context)

    def work(stop: threading.Event) -> None:
        # kopf: neither help nor a refusal needs it
        from accelchain_operators.kube.life import Post
        from accelchain_operators.main import run_operators

        post = Post(home_namespace(connection), times if leader_elect else None, health, metrics)
        run_operators(
            lambda: HttpClient(connection=connection),
            stop,
            threading.Event(),
            worker=worker,
            controllers=chosen,
            namespaces=namespaces,
            post=post,
        )

    return run_until_signalled("operator", log_format, work)
