# SPDX-License-Identifier: Apache-2.0
"""accelchain in a cluster, as an administrator installs it: images, the Helm line, and what runs then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from realkube.cluster import Cluster
from realkube.errors import RefusedError
from realkube.process import run

REPOSITORY = Path(__file__).parents[3]
NAMESPACE = "accelchain-system"
CONTROLLERS = ("chain", "dataflow", "scheduler")
IMAGES = ("operator", "launcher", "node", "worker")
_CHART = "manifests/charts/accelchain"
_READY_SECONDS = 120
_SETUP_SECONDS = 300.0


def archives() -> dict[str, Path]:
    """Return the images' archives by name; RefusedError where they are not built."""
    folder = Path(os.environ.get("ACCELCHAIN_IMAGES") or REPOSITORY / "build" / "images")
    found = {name: folder / f"{name}.tar" for name in IMAGES}
    if missing := [str(path) for path in found.values() if not path.exists()]:
        raise RefusedError(f"there is no {', '.join(missing)}: run `make images`.")
    return found


def helm_python() -> Path:
    """Return the Python that runs tools/helm.py; RefusedError where there is none."""
    setup = [shutil.which("sh"), REPOSITORY / "tools" / "helm_setup.sh"]
    done = subprocess.run(setup, capture_output=True, text=True, timeout=_SETUP_SECONDS, check=False)
    if done.returncode:
        raise RefusedError(f"Helm's library is not to be had: {done.stderr.strip()}")
    return REPOSITORY / done.stdout.strip()


class Release:
    """A release of the chart in a cluster."""

    def __init__(self, cluster: Cluster, python: Path) -> None:
        self._cluster = cluster
        self._python = python
        self._values: dict[str, str] = {}
        self.seconds: float | None = None
        """What ``helm install --wait`` took; None where it was there already."""

    def is_there(self) -> bool:
        """Return whether Helm knows the release."""
        label = "owner=helm,name=accelchain"
        return bool(self._cluster.kubectl("-n", NAMESPACE, "get", "secrets", "-l", label, "-o", "name").stdout)

    def install(self) -> None:
        """Install with all values left as they are, and wait until everything is ready."""
        began = time.monotonic()
        self._helm("install", _CHART, "--create-namespace", "--wait", f"--timeout={_READY_SECONDS}")
        self.seconds = time.monotonic() - began
        label = "pod-security.kubernetes.io/enforce=restricted"
        self._cluster.kubectl("label", "namespace", NAMESPACE, label)

    def upgrade(self, **values: str) -> None:
        """Upgrade; values are paths with ``__`` between the words, and hold until they are given anew."""
        self._values |= values
        options = [f"--set={path.replace('__', '.')}={value}" for path, value in self._values.items()]
        self._helm("upgrade", _CHART, "--wait", f"--timeout={_READY_SECONDS}", *options)

    def uninstall(self) -> None:
        """Uninstall, and wait until it is gone."""
        self._helm("uninstall", "--wait", f"--timeout={_READY_SECONDS}")

    def restart(self, *controllers: str) -> None:
        """Restart operators one replica after the other, and wait for the end of it."""
        names = [f"deployment/accelchain-{controller}" for controller in controllers]
        self._cluster.kubectl("-n", NAMESPACE, "rollout", "restart", *names)
        for name in names:
            self._cluster.kubectl("-n", NAMESPACE, "rollout", "status", name, "--timeout=90s", timeout=100)

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the Pods of a component (chain, dataflow, scheduler, node) that are not being deleted."""
        label = f"app.kubernetes.io/component={component}"
        got = self._cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", label, "-o", "json").stdout
        return [pod for pod in json.loads(got)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def leader(self, controller: str) -> dict[str, Any]:
        """Return the Pod that leads a controller; LookupError while nobody does."""
        holder = self.lease(controller).get("holderIdentity") or ""
        for pod in self.pods(controller):
            if holder.startswith(pod["metadata"]["name"]):
                return pod
        raise LookupError(f"{controller} is led by {holder!r}")

    def lease(self, controller: str) -> dict[str, Any]:
        """Return the spec of a controller's Lease."""
        got = self._cluster.kubectl("-n", NAMESPACE, "get", "lease", f"accelchain-{controller}", "-o", "json").stdout
        spec: dict[str, Any] = json.loads(got)["spec"]
        return spec

    def _helm(self, verb: str, *arguments: str) -> None:
        place = ["--namespace", NAMESPACE, f"--kubeconfig={self._cluster.kubeconfig}"]
        command = [self._python, REPOSITORY / "tools" / "helm.py", verb, "accelchain", *arguments, *place]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._cluster.root), "PWD": str(REPOSITORY)}
        run(command, timeout=_READY_SECONDS + 60, environment=environment, folder=REPOSITORY)
