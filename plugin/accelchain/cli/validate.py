# SPDX-License-Identifier: Apache-2.0
"""``accelchain validate``: is this file right?"""

from __future__ import annotations

import click

from accelchain.cli.connect import Target, run_in
from accelchain.cli.errors import Refused
from accelchain.cli.inputs import check_job, read_job
from accelchain.cli.known import Known, known_here
from accelchain.cli.terminal import out
from accelchain.cli.validate_argo import holds_argo, known_at, read_documents, validate_documents
from accelchain.cli.where import cluster_for, where_options


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value for a parameter.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URI", help="Address for an input.")
@click.option("--output", "outputs", multiple=True, metavar="NAME=URI", help="Address for an output.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@where_options
def validate(
    files: tuple[str, ...],
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Check files as the operators would, without running them; exit 2 where they are wrong.

    A file holds one DataFlow and what it is made of, or workflows of Argo; several files are checked together.
    """
    if not (parameters or inputs or outputs):
        documents = read_documents(files)
        if len(files) > 1 or files == ("-",) or holds_argo(documents):
            validate_documents(documents, functions, _cluster(functions, kubeconfig, context, namespace))
            return
    if len(files) > 1:
        raise Refused("-p, --input and --output are for one file with a DataFlow: give one, or leave them out.")
    _validate_job(files[0], parameters, inputs, outputs, functions, kubeconfig, context, namespace)


def _cluster(
    functions: tuple[str, ...], kubeconfig: str | None, context: str | None, namespace: str | None
) -> Target | None:
    if not (kubeconfig or context):
        return None
    if functions:
        raise Refused("--functions: a cluster runs what its administrator installed; leave it out.")
    return Target.find(kubeconfig, context, namespace)


def _validate_job(
    file: str,
    parameters: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    functions: tuple[str, ...],
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Check one DataFlow with the values that the command line gives it."""
    job = read_job(file, parameters, inputs, outputs)
    target = cluster_for(job, functions, kubeconfig, context, namespace)
    known: Known = run_in(target, known_at(target)) if target else known_here(functions)
    flow = check_job(job, known)
    out(
        f"{file}: DataFlow {job.flow.metadata.name} is valid: "
        f"{len(flow.functions)} functions, {len(flow.connections)} connections."
    )
