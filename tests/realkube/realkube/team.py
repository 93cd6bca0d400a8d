# SPDX-License-Identifier: Apache-2.0
"""A team of users: a namespace with a volume, and flows in it by way of kubectl."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from realkube.cluster import Cluster
from realkube.errors import ClusterError

GROUP = "accelchain.io"
OURS = f"dataflows.{GROUP},wbfunctions.{GROUP},wbconnections.{GROUP},pods,configmaps,secrets"
VOLUME = {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"claimName": "data"}}
Flow = dict[str, Any]


class Team:
    """A namespace that takes restricted Pods only, whose claim ``data`` is a folder of the host."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace
        cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.folder: Path = cluster.volume(namespace, "data")

    def kubectl(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace."""
        return self._cluster.kubectl("-n", self.namespace, *arguments, **options)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects; ClusterError with the API's sentence where one is refused."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def refusal(self, *objects: Mapping[str, Any]) -> str:
        """Apply what the API refuses, and return its sentence."""
        done = self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects), check=False)
        assert done.returncode, "the API took it"
        return done.stderr

    def patch(self, name: str, **spec: Any) -> None:
        """Change fields of a flow's spec."""
        self.kubectl("patch", "dataflow", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def flow(self, name: str) -> Flow:
        """Return a DataFlow as the API has it."""
        found: Flow = json.loads(self.kubectl("get", "dataflow", name, "-o", "json").stdout)
        return found

    def status(self, name: str) -> Flow:
        """Return a DataFlow's status."""
        found: Flow = self.flow(name).get("status", {})
        return found

    def condition(self, name: str, type: str) -> Flow:
        """Return a condition of a DataFlow, empty where it has none."""
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == type), {})

    def until(
        self, name: str, holds: Callable[[Flow], object], seconds: float = 60.0, what: str = "what is waited for"
    ) -> Flow:
        """Wait until a DataFlow's status is as wanted; return it, or ClusterError with it after the deadline."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.status(name)
            if holds(status):
                return status
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} did not come within {seconds:.0f} s: {json.dumps(status)[-3000:]}")
            time.sleep(0.1)

    def until_phase(self, name: str, *phases: str, seconds: float = 60.0) -> Flow:
        """Wait for one of some phases."""
        wanted = f"{name}: {' or '.join(phases)}"
        return self.until(name, lambda status: status.get("phase") in phases, seconds, wanted)

    def pods(self, name: str) -> list[Flow]:
        """Return a flow's Pods, the oldest first."""
        label = f"{GROUP}/dataflow={name}"
        found = json.loads(self.kubectl("get", "pods", "-l", label, "-o", "json").stdout)["items"]
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, name: str) -> Flow:
        """Return the Pod of a flow's current attempt; LookupError where there is none."""
        attempt = str(self.status(name).get("attempt", 1))
        for pod in self.pods(name):
            if pod["metadata"]["labels"].get(f"{GROUP}/attempt") == attempt:
                return pod
        raise LookupError(f"{name} has no Pod of attempt {attempt}")

    def left(self) -> list[str]:
        """Return the names of everything that flows have in the namespace."""
        found = self.kubectl("get", OURS, "-o", "name").stdout.split()
        return [name for name in found if name != "configmap/kube-root-ca.crt"]

    def until_nothing_is_left(self, seconds: float = 60.0) -> float:
        """Wait until flows have nothing in the namespace any more, and return for how long that took."""
        began = time.monotonic()
        while left := self.left():
            if time.monotonic() - began > seconds:
                raise ClusterError(f"{', '.join(left)} did not go within {seconds:.0f} s.")
            time.sleep(0.1)
        return time.monotonic() - began

    def end(self) -> None:
        """Delete the namespace with all that it holds."""
        self._cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")
        self._cluster.kubectl("delete", "persistentvolume", f"{self.namespace}.data", "--wait=false")


def demo(name: str = "person-detection", **spec: Any) -> tuple[Flow, Flow]:
    """Return chain and flow of pipelines/person-detection, on the team's volume; ``people.mp4`` has to be there."""
    folder = Path(__file__).parents[3] / "pipelines" / "person-detection"
    chain, flow = yaml.safe_load_all((folder / "dataflow.yaml").read_text())
    flow["metadata"]["name"] = name
    flow["spec"] |= {
        "inputs": {"video": {"uri": "file:///data/people.mp4"}},
        "outputs": {
            "annotated": {"uri": f"file:///data/{name}.mp4"},
            "detections": {"uri": f"file:///data/{name}.jsonl"},
        },
        "volumes": [VOLUME],
        **spec,
    }
    return chain, flow
