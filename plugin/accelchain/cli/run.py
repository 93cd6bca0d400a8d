# SPDX-License-Identifier: Apache-2.0
"""``accelchain run``: a file in, its results out, and everything between to look at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from accelchain.cli.api_errors import right_of
from accelchain.cli.connect import Target, run_in
from accelchain.cli.diagnostics import log_lines
from accelchain.cli.display import Display, choose
from accelchain.cli.errors import Refused
from accelchain.cli.flow_picture import Shape
from accelchain.cli.follow import Follower
from accelchain.cli.inputs import Job, check_job, read_job
from accelchain.cli.known import known_here, known_in
from accelchain.cli.outcome import exit_code, print_flow, print_paths, print_plan, tell_end, write_files
from accelchain.cli.record import RunRecord
from accelchain.cli.session import Session
from accelchain.cli.terminal import PatientConsole
from accelchain.cli.where import cluster_for, where_options
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.connection import Connection


@click.command()
@click.argument("file")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter of the chain.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URI", help="Address (or path) of an input.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=URI", help="Address (or path) of an output.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print the final DataFlow as one JSON document, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing while it runs.")
@click.option("-v", "--verbose", is_flag=True, help="Show the log lines of all parts.")
@click.option("--report", type=click.Path(dir_okay=False), default="report.html", help="Where the report goes.")
@click.option("--no-report", is_flag=True, help="Write no report.")
@click.option("--graph", type=click.Path(dir_okay=False), help="Also write the chain's picture as SVG.")
@click.option("--timeout", type=click.FloatRange(min=0.1), help="Give up after this many seconds.")
@click.option("--keep", is_flag=True, help="In a cluster: leave there what was created, when the flow has ended.")
@click.option("--dry-run", is_flag=True, help="Show where everything would run, and run nothing.")
@where_options
def run(
    file: str,
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    verbose: bool,
    report: str,
    no_report: bool,
    graph: str | None,
    timeout: float | None,
    keep: bool,
    dry_run: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Run the DataFlow in FILE to its end; on this machine unless a cluster is named.

    Exit 0: it succeeded. 1: it failed. 2: the input is wrong. 130: interrupted, and cleaned up.
    """
    started = time.monotonic()
    job = read_job(file, parameters, inputs, outputs)
    job.flow.spec.dry_run = job.flow.spec.dry_run or dry_run
    graph_path, report_path = _target("--graph", graph), _target("--report", None if no_report else report)
    target = cluster_for(job, functions, kubeconfig, context, namespace)
    record = RunRecord(job.flow.metadata.name, target.namespace if target else job.namespace(namespace))
    quiet = quiet or as_json
    display = choose(PatientConsole(stderr=True), quiet=quiet)
    watched = Watched(job, record, display, started, timeout)
    try:
        with log_lines(verbose=verbose):
            work = watched.in_cluster(target, keep) if target else watched.here(functions)
            shape: Shape | None = run_in(target, work)
    finally:
        display.close()
        if as_json and record.flow:
            print_flow(record)
    code, planned = exit_code(record), bool(record.end and record.end["type"] == "Planned")
    write_files(record, shape, graph_path, None if planned else report_path)
    tell_end(record, code, quiet=quiet)
    if planned and not as_json:
        print_plan(record)
    elif not as_json:
        print_paths(record, code, graph_path, report_path)
    click.get_current_context().exit(code)


@dataclass(frozen=True, slots=True)
class Watched:
    """A job, and who watches it."""

    job: Job
    record: RunRecord
    display: Display
    started: float
    """``time.monotonic()`` when the command began."""
    timeout: float | None

    async def here(self, functions: tuple[str, ...]) -> Shape:
        """Run in a cluster that starts and ends with this run."""
        flow = check_job(self.job, known_here(functions))
        from accelchain.cli.local import LocalCluster  # kopf and the embedded API: no real cluster needs them

        self.display.say("starting a cluster on this machine …")
        async with LocalCluster(functions, namespace=self.record.namespace) as cluster:
            await cluster.while_whole(self._run(cluster.client, None, passing=True))
        return Shape.of(flow)

    async def in_cluster(self, target: Target, keep: bool) -> Shape | None:
        """Run in a cluster that is there; None where the user may not see what the chain consists of."""
        async with target.connected() as client:
            shape = await self._check(client)
            await self._run(client, target.connection, keep=keep)
        return shape

    async def _check(self, client: KubeClient) -> Shape | None:
        """Validate the job with what the cluster knows, before anything is created."""
        try:
            known = await known_in(client, self.record.namespace)
        except ApiError as error:
            if error.code != 403:
                raise
            self.display.say(f"the file is checked by the cluster alone: you may not {right_of(error)}")
            return None
        return Shape.of(check_job(self.job, known))

    async def _run(
        self, client: KubeClient, connection: Connection | None, *, keep: bool = False, passing: bool = False
    ) -> None:
        follower = Follower(client, self.record, self.display, self.started, connection)
        await Session(client, self.job, self.record, follower, keep, passing).run(self.timeout)


def _target(option: str, path: str | None) -> Path | None:
    """Return a file to be written at the end.

    Raises:
        Refused: its folder does not exist.
    """
    if path is None:
        return None
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise Refused(f"{option} {path}: there is no folder {folder}.")
    return Path(path)
