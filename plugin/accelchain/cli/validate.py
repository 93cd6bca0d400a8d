# SPDX-License-Identifier: Apache-2.0
"""``accelchain validate``: is this file right?"""

from __future__ import annotations

import click

from accelchain.cli.connect import Target, run_in
from accelchain.cli.inputs import check_job, read_job
from accelchain.cli.known import Known, known_here, known_in
from accelchain.cli.terminal import out
from accelchain.cli.where import cluster_for, where_options


@click.command()
@click.argument("file")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URI", help="Address for an input.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=URI", help="Address for an output.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@where_options
def validate(
    file: str,
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Check a file as the operators would, without running it; exit 2 where it is wrong."""
    job = read_job(file, parameters, inputs, outputs)
    target = cluster_for(job, functions, kubeconfig, context, namespace)
    known: Known = run_in(target, _known_in(target)) if target else known_here(functions)
    flow = check_job(job, known)
    out(
        f"{file}: DataFlow {job.flow.metadata.name} is valid: "
        f"{len(flow.functions)} functions, {len(flow.connections)} connections."
    )


async def _known_in(target: Target) -> Known:
    async with target.connected() as client:
        return await known_in(client, target.namespace)
