# SPDX-License-Identifier: Apache-2.0
"""Where a job runs or is judged: on this machine, or in the cluster that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from accelchain.cli.addresses import check_for_cluster
from accelchain.cli.connect import Target
from accelchain.cli.errors import Refused
from accelchain.cli.inputs import Job

F = TypeVar("F", bound=Callable[..., Any])


def where_options(command: F) -> F:
    """Give a command on a file the options that name a cluster; without them it stays on this machine."""
    for option in (
        click.option("--kubeconfig", type=click.Path(), help="This kubeconfig's cluster, in place of this machine."),
        click.option("--context", help="The cluster of this context of the kubeconfig, in place of this machine."),
        click.option("-n", "--namespace", help="Namespace to work in; else the file's, else the context's."),
    ):
        command = option(command)
    return command


def cluster_for(
    job: Job, functions: tuple[str, ...], kubeconfig: str | None, context: str | None, namespace: str | None
) -> Target | None:
    """Return the cluster that was asked for, with the namespace of the job; None: this machine.

    Raises:
        Refused: it can't be used, the job can't run in a cluster, or its namespaces disagree.
    """
    if not (kubeconfig or context):
        return None
    if functions:
        raise Refused("--functions: a cluster runs what its administrator installed; leave it out.")
    target = Target.find(kubeconfig, context)
    if not target.laptop:
        check_for_cluster(job.flow)
    return Target(target.connection, job.namespace(namespace, target.namespace), target.laptop)
