# SPDX-License-Identifier: Apache-2.0
"""``accelchain run``: a file in, its results out, and everything between to look at."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.connect import connected, run_async
from accelchain.cli.display import Display, choose
from accelchain.cli.errors import FAILED, INTERRUPTED, REFUSED, SUCCEEDED, Refused, RunFailed
from accelchain.cli.follow import Follower
from accelchain.cli.inputs import Job, check_job, read_job
from accelchain.cli.installed import function_types
from accelchain.cli.objects import delete_flow
from accelchain.cli.pictures import local_path
from accelchain.cli.record import RunRecord
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import BY_KIND

JsonObject = dict[str, Any]
FIELD_MANAGER = "accelchain-cli"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of ``run``."""

    job: Job
    namespace: str = "default"
    as_json: bool = False
    quiet: bool = False
    report: Path | None = None
    graph: Path | None = None
    keep: bool = False
    timeout: float | None = None
    functions: tuple[str, ...] = field(default=())


@click.command()
@click.argument("file")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter of the chain.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URI", help="Address (or path) of an input.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=URI", help="Address (or path) of an output.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print the final DataFlow as one JSON document, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing while it runs.")
@click.option("--report", type=click.Path(dir_okay=False), help="Where the report goes.")
@click.option("--no-report", is_flag=True, help="Write no report.")
@click.option("--graph", type=click.Path(dir_okay=False), help="Also write the chain's picture as SVG.")
@click.option("--timeout", type=click.FloatRange(min=0.1), help="Give up after this many seconds.")
@click.option("--keep", is_flag=True, help="In a cluster: leave the DataFlow there when it has ended.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace to run in.")
@click.option("--context", help="Run in the cluster of this context of the kubeconfig.")
@click.option("--kubeconfig", type=click.Path(), help="Run in this kubeconfig's cluster.")
@run_async
async def run(
    file: str,
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    report: str | None,
    no_report: bool,
    graph: str | None,
    timeout: float | None,
    keep: bool,
    namespace: str,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Run the DataFlow in FILE to its end; on this machine unless a cluster is named.

    Exit 0: it succeeded. 1: it failed. 2: the input is wrong. 130: interrupted, and cleaned up.
    """
    started = time.monotonic()
    job = read_job(file, parameters, inputs, outputs)
    local = kubeconfig is None and context is None
    flow = check_job(job, function_types(functions))
    request = Request(
        job=job,
        namespace=namespace,
        as_json=as_json,
        quiet=quiet or as_json,
        report=None if no_report else Path(report or "report.html"),
        graph=Path(graph) if graph else None,
        keep=keep and not local,
        timeout=timeout,
        functions=functions,
    )
    for path, option in ((request.report, "--report"), (request.graph, "--graph")):
        if path is not None and not path.absolute().parent.is_dir():
            raise Refused(f"{option} {path}: there is no folder {path.absolute().parent}.")
    display = choose(Console(stderr=True), quiet=request.quiet)
    record = RunRecord(job.flow.metadata.name, namespace)
    try:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(_laptop(functions) if local else connected(kubeconfig, context))
            code = await _run_flow(request, client, record, display, started)
    finally:
        display.close()
    if code != INTERRUPTED:
        _write_results(request, record, flow)
    if as_json and record.flow:
        click.echo(json.dumps(record.flow, indent=2))
    _tell_end(request, record, code)
    return code


@asynccontextmanager
async def _laptop(functions: tuple[str, ...]) -> AsyncIterator[KubeClient]:
    """Start a whole cluster that lives as long as this run."""
    from accelchain.cli.local import LocalCluster  # kopf and the embedded API: a run in a real cluster needs neither

    async with LocalCluster(functions=functions) as cluster:
        yield cluster.client


async def _run_flow(request: Request, client: KubeClient, record: RunRecord, display: Display, started: float) -> int:
    """Create the flow, follow it to its end, delete it; return the exit code."""
    follower = Follower(client, record, display, started)
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    stop = asyncio.create_task(interrupted.wait())
    try:
        uid = await _create(request, client, follower)
        work = asyncio.create_task(follower.until_end(request.timeout))
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        if interrupted.is_set():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            display.say("interrupted: cleaning up …")
            await delete_flow(client, uid, record.name, request.namespace, timeout=15.0)
            return INTERRUPTED
        try:
            still_there = work.result()
        except TimeoutError:
            display.say(f"no end after {request.timeout:g} s: cleaning up …")
            await delete_flow(client, uid, record.name, request.namespace, timeout=15.0)
            raise RunFailed(f"DataFlow {record.name} had not ended after {request.timeout:g} s.") from None
        if not still_there:
            raise RunFailed(f"DataFlow {record.name} was deleted while it ran.")
        if not request.keep:
            await delete_flow(client, uid, record.name, request.namespace, timeout=30.0)
    finally:
        stop.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return exit_code(record)


async def _create(request: Request, client: KubeClient, follower: Follower) -> str:
    """Create the file's objects, the DataFlow last, and return its uid.

    Raises:
        Refused: the API refuses an object, or there is a DataFlow of that name already.
    """
    uid = ""
    for obj in request.job.objects(request.namespace):
        type = BY_KIND[obj["apiVersion"], obj["kind"]]
        try:
            if obj["kind"] == "DataFlow":
                created = await client.create(type, obj)
            else:
                created = await client.apply(type, obj, field_manager=FIELD_MANAGER)
        except ApiError as error:
            raise Refused(f"{obj['kind']}/{obj['metadata']['name']}: {error.message}") from None
        follower.saw({**created, "kind": obj["kind"]})
        uid = created["metadata"]["uid"]
    return uid


def exit_code(record: RunRecord) -> int:
    """Return the exit code for the way in which a flow ended."""
    end = record.end
    if end is None or end["type"] == "Failed":
        return REFUSED if end and end["reason"] == "InvalidInput" else FAILED
    return SUCCEEDED if end["type"] == "Succeeded" else REFUSED


def _write_results(request: Request, record: RunRecord, flow: ResolvedFlow) -> None:
    """Write the picture and the report; a run that was refused has nothing to report."""
    if exit_code(record) == REFUSED:
        return
    from accelchain.cli.flow_picture import picture  # neither is needed before the end
    from accelchain.cli.report import render

    svg = picture(record.name, flow, record.status, record.document)
    if request.graph is not None:
        _write(request.graph, svg)
    if request.report is not None:
        _write(request.report, render(record, svg, request.report.absolute()))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFailed(f"{path}: {error.strerror}") from None


def _tell_end(request: Request, record: RunRecord, code: int) -> None:
    """Say how it ended, and last of all where the results are."""
    if code == INTERRUPTED:
        click.echo("interrupted; nothing was left behind.", err=True)
        return
    end = record.end
    if code != SUCCEEDED:
        click.echo(f"Error: {end['message'] if end else 'the flow did not end'}", err=True)
        if code == REFUSED:
            return
    for warning in record.status.get("warnings", ()):
        click.echo(f"Warning: {warning}", err=True)
    if request.as_json:
        return
    document = record.document
    if code == SUCCEEDED and not request.quiet:
        click.echo(
            f"{record.name} succeeded: {document.get('frames', 0)} frames, "
            f"{document.get('framesPerSecond', 0.0):.1f} frames/s",
            err=True,
        )
    artifacts = record.status.get("outputs", {}).get("artifacts", ()) if code == SUCCEEDED else ()
    for artifact in artifacts:
        click.echo(str(local_path(artifact["uri"]) or artifact["uri"]))
    for path in (request.graph, request.report):
        if path is not None:
            click.echo(str(path.absolute()))
