# SPDX-License-Identifier: Apache-2.0
"""``accelchain doctor``: can this machine run flows, and if not, what is missing?"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from accelchain.cli.argo_diagnosis import ArgoState, diagnose
from accelchain.cli.connect import Target, run_in
from accelchain.cli.devices import inventory
from accelchain.cli.doctor_argo import look
from accelchain.cli.errors import FAILED, SUCCEEDED, RunFailed
from accelchain.cli.installed import function_types
from accelchain.cli.terminal import out

_LEAST_FREE = 200 * 2**20
"""Bytes on disk that caches and results of the demo need."""
_MODULES = {
    "av": "video: pip install 'accelchain[cpu]'",
    "pyopencl": "OpenCL devices: pip install 'accelchain[cpu]'",
    "onnxruntime": "detect-person's implementation on the host: pip install 'accelchain[cpu]'",
    "kopf": "the operators: pip install 'accelchain[operators]'",
}


def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _modules() -> str:
    missing = [f"{name} ({use})" for name, use in _MODULES.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise RunFailed(f"missing: {'; '.join(missing)}")
    return f"packages: {', '.join(_MODULES)}"


def _devices() -> str:
    listed = inventory()["devices"]
    assert isinstance(listed, list)
    if not any(device["api"] != "host" for device in listed):
        raise RunFailed("no OpenCL device; pip install 'pyopencl[pocl]' brings one for the CPU")
    return "devices: " + ", ".join(f"{d['name']} ({d['model']})" for d in listed if d["api"] != "host")


def _functions() -> str:
    return "functions: " + ", ".join(sorted({t.function for t in function_types()}))


def _disk() -> str:
    folder = Path(os.environ.get("ACCELCHAIN_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home())
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise RunFailed(f"{folder} has {free // 2**20} MiB free; the caches need {_LEAST_FREE // 2**20} MiB")
    return f"disk: {free / 2**30:.1f} GiB free at {folder}"


def _temporary() -> str:
    with tempfile.TemporaryDirectory(prefix="accelchain-") as folder:
        return f"temporary files: {Path(folder).parent}"


CHECKS: tuple[Callable[[], str], ...] = (_python, _modules, _functions, _devices, _disk, _temporary)


@click.command()
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of a cluster: look at its Argo, not at this machine.")
@click.option("--context", help="Context of the kubeconfig: look at its Argo, not at this machine.")
@click.option("-n", "--namespace", help="Namespace that workflows run in; the context's where absent.")
@click.option("--service-account", default="default", show_default=True, help="ServiceAccount of the workflows.")
def doctor(kubeconfig: str | None, context: str | None, namespace: str | None, service_account: str) -> None:
    """Check that this machine can run flows, or a cluster's Argo our steps; exit 1 where something is missing."""
    of_cluster = bool(kubeconfig or context)
    code = _check_argo(Target.find(kubeconfig, context, namespace), service_account) if of_cluster else _check_machine()
    click.get_current_context().exit(code)


def _check_machine() -> int:
    code = SUCCEEDED
    for check in CHECKS:
        try:
            out(f"ok    {check()}")
        except click.ClickException as error:
            out(f"FAIL  {error.message}")
            code = FAILED
        except OSError as error:
            out(f"FAIL  {error}")
            code = FAILED
    return code


def _check_argo(target: Target, service_account: str) -> int:
    verdicts = list(diagnose(run_in(target, _look(target, service_account))))
    for verdict in verdicts:
        out(f"{verdict.level:<4}  {verdict.text}")
    return FAILED if any(verdict.level == "FAIL" for verdict in verdicts) else SUCCEEDED


async def _look(target: Target, service_account: str) -> ArgoState:
    async with target.connected() as client:
        return await look(client, target.namespace, service_account)
