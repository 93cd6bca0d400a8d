# SPDX-License-Identifier: Apache-2.0
"""``accelchain validate``: is this file right?"""

from __future__ import annotations

import click

from accelchain.cli.inputs import check_job, read_job
from accelchain.cli.known import known_here
from accelchain.cli.terminal import out


@click.command()
@click.argument("file")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URI", help="Address for an input.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=URI", help="Address for an output.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
def validate(
    file: str,
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
) -> None:
    """Check a file as the operators would, without running it; exit 2 where it is wrong."""
    job = read_job(file, parameters, inputs, outputs)
    flow = check_job(job, known_here(functions))
    out(
        f"{file}: DataFlow {job.flow.metadata.name} is valid: "
        f"{len(flow.functions)} functions, {len(flow.connections)} connections."
    )
