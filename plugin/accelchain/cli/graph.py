# SPDX-License-Identifier: Apache-2.0
"""``accelchain graph``: a picture of a chain, with its placement on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from accelchain.api import ComputeResource, SchedulingStrategy
from accelchain.chain.resolve import check_devices
from accelchain.cli.devices import inventory
from accelchain.cli.errors import Refused
from accelchain.cli.files import write_whole
from accelchain.cli.flow_picture import picture
from accelchain.cli.inputs import check_job, read_job
from accelchain.cli.known import known_here
from accelchain.cli.terminal import out, tell
from accelchain_operators.node.inventory import compute_resource
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_operators.scheduler.strategy import Strategy


@click.command()
@click.argument("file")
@click.option("-o", "--output", default="graph.svg", show_default=True, help="The SVG file; - is standard output.")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--no-placement", is_flag=True, help="Draw the chain only; ask no device.")
def graph(file: str, output: str, parameters: tuple[str, ...], functions: tuple[str, ...], no_placement: bool) -> None:
    """Draw the chain of a DataFlow as SVG, with the place that the scheduler gives every function on this machine."""
    job = read_job(file, parameters)
    flow = check_job(job, known_here(functions))
    name = job.flow.metadata.name
    status: dict[str, object] = {}
    if not no_placement:
        resource = ComputeResource.model_validate(compute_resource(inventory(), "localhost"))
        problems = check_devices(flow, [resource])
        if problems:
            raise Refused("\nError: ".join(map(str, problems)))
        wanted = job.flow.spec.strategy_ref.name if job.flow.spec.strategy_ref else None
        strategy = Strategy.resolve(wanted, {s.metadata.name: s for s in job.of_kind(SchedulingStrategy)})
        (decision,) = place([Request(name, flow, strategy)], Inventory.of([resource], []))
        status["placement"] = [p.model_dump(by_alias=True) for p in decision.placement]
        if decision.message:
            tell(f"not placed: {decision.message}")
    svg = picture(name, flow, status, {})
    if output == "-":
        out(svg)
        return
    try:
        write_whole(Path(output), svg)
    except OSError as error:
        raise Refused(f"-o {output}: {error.strerror}.") from None
    out(output)
