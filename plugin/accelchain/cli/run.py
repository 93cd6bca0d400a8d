# SPDX-License-Identifier: Apache-2.0
"""``accelchain run``: a file in, its results out, and everything between to look at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from accelchain.chain.resolved import ResolvedFlow
from accelchain.cli.connect import connected, run_async
from accelchain.cli.diagnostics import log_lines
from accelchain.cli.display import Display, choose
from accelchain.cli.errors import Refused
from accelchain.cli.follow import Follower
from accelchain.cli.inputs import Job, check_job, read_job
from accelchain.cli.known import known_here, known_in
from accelchain.cli.outcome import exit_code, print_flow, print_paths, tell_end, write_files
from accelchain.cli.record import RunRecord
from accelchain.cli.session import Session
from accelchain.cli.terminal import PatientConsole
from accelchain_operators.kube.client import KubeClient


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
@click.option("--keep", is_flag=True, help="In a cluster: leave the DataFlow there when it has ended.")
@click.option("-n", "--namespace", help="Namespace to run in; the file's where it names one.")
@click.option("--context", help="Run in the cluster of this context of the kubeconfig.")
@click.option("--kubeconfig", type=click.Path(), help="Run in this kubeconfig's cluster.")
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
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Run the DataFlow in FILE to its end; on this machine unless a cluster is named.

    Exit 0: it succeeded. 1: it failed. 2: the input is wrong. 130: interrupted, and cleaned up.
    """
    started = time.monotonic()
    job = read_job(file, parameters, inputs, outputs)
    record = RunRecord(job.flow.metadata.name, job.namespace(namespace))
    graph_path, report_path = _target("--graph", graph), _target("--report", None if no_report else report)
    quiet = quiet or as_json
    display = choose(PatientConsole(stderr=True), quiet=quiet)
    watched = Watched(job, record, display, started, timeout)
    try:
        with log_lines(verbose=verbose):
            if kubeconfig or context:
                if functions:
                    raise Refused("--functions: a cluster runs what its administrator installed; leave it out.")
                flow = _run_in_cluster(watched, kubeconfig, context, keep)
            else:
                flow = _run_here(watched, functions)
    finally:
        display.close()
        if as_json and record.flow:
            print_flow(record)
    code = exit_code(record)
    write_files(record, flow, graph_path, report_path)
    tell_end(record, code, quiet=quiet)
    if not as_json:
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

    async def run(self, client: KubeClient, *, keep: bool = False, passing: bool = False) -> None:
        """Run the job in a cluster; see ``Session.run``."""
        follower = Follower(client, self.record, self.display, self.started)
        await Session(client, self.job, self.record, follower, keep, passing).run(self.timeout)


@run_async
async def _run_here(watched: Watched, functions: tuple[str, ...]) -> ResolvedFlow:
    """Run in a cluster that starts and ends with this run."""
    flow = check_job(watched.job, known_here(functions))
    from accelchain.cli.local import LocalCluster  # kopf and the embedded API: a run in a real cluster needs neither

    watched.display.say("starting a cluster on this machine …")
    async with LocalCluster(functions, namespace=watched.record.namespace) as cluster:
        await cluster.while_whole(watched.run(cluster.client, passing=True))
    return flow


@run_async
async def _run_in_cluster(watched: Watched, kubeconfig: str | None, context: str | None, keep: bool) -> ResolvedFlow:
    async with connected(kubeconfig, context) as client:
        flow = check_job(watched.job, await known_in(client, watched.record.namespace))
        await watched.run(client, keep=keep)
    return flow


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
