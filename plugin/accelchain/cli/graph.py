# SPDX-License-Identifier: Apache-2.0
"""``accelchain graph``: a picture of a chain, with its placement on this machine or in a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from accelchain.api import ComputeResource, SchedulingStrategy
from accelchain.chain.resolve import check_devices
from accelchain.cli.connect import Target, run_in
from accelchain.cli.devices import inventory
from accelchain.cli.errors import Refused
from accelchain.cli.files import write_whole
from accelchain.cli.flow_picture import Shape, picture
from accelchain.cli.inputs import check_job, read_job
from accelchain.cli.known import Known, known_here, known_in
from accelchain.cli.terminal import out, tell
from accelchain.cli.where import cluster_for, where_options
from accelchain_operators.kube.kinds import COMPUTE_RESOURCE
from accelchain_operators.node.inventory import compute_resource
from accelchain_operators.reconcile.models import parse_valid
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Request, place
from accelchain_operators.scheduler.strategy import Strategy

Nodes = list[ComputeResource]


@click.command()
@click.argument("file")
@click.option("-o", "--output", default="graph.svg", show_default=True, help="The SVG file; - is standard output.")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--no-placement", is_flag=True, help="Draw the chain only; ask no device.")
@where_options
def graph(
    file: str,
    output: str,
    parameters: tuple[str, ...],
    functions: tuple[str, ...],
    no_placement: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Draw the chain of a DataFlow as SVG, with the place that the scheduler would give every function.

    Devices count as free; accelchain run --dry-run asks a cluster for the place that it gives right now.
    """
    job = read_job(file, parameters)
    target = cluster_for(job, functions, kubeconfig, context, namespace)
    nodes: Nodes
    known: Known
    if target is not None:
        known, nodes = run_in(target, _there(target))
    else:
        known, nodes = known_here(functions), [] if no_placement else _here()
    flow = check_job(job, known)
    name = job.flow.metadata.name
    status: dict[str, object] = {}
    if not no_placement:
        problems = check_devices(flow, nodes)
        if problems:
            raise Refused("\nError: ".join(map(str, problems)))
        wanted = job.flow.spec.strategy_ref.name if job.flow.spec.strategy_ref else None
        strategies = {s.metadata.name: s for s in (*known.strategies, *job.of_kind(SchedulingStrategy))}
        strategy = Strategy.resolve(wanted, strategies)
        (decision,) = place([Request(name, flow, strategy)], Inventory.of(nodes, []))
        status["placement"] = [p.model_dump(by_alias=True) for p in decision.placement]
        if decision.message:
            tell(f"not placed: {decision.message}")
    svg = picture(name, Shape.of(flow), status, {})
    if output == "-":
        out(svg)
        return
    try:
        write_whole(Path(output), svg)
    except OSError as error:
        raise Refused(f"-o {output}: {error.strerror}.") from None
    out(output)


def _here() -> Nodes:
    return [ComputeResource.model_validate(compute_resource(inventory(), "localhost"))]


async def _there(target: Target) -> tuple[Known, Nodes]:
    async with target.connected() as client:
        resources, _ = await client.list(COMPUTE_RESOURCE)
        return await known_in(client, target.namespace), list(parse_valid(ComputeResource, resources))
