# SPDX-License-Identifier: Apache-2.0
"""Users of Argo: a namespace as an administrator prepares it for workflows, and workflows in it."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from realkube.argo import keys_secret
from realkube.cluster import Cluster
from realkube.errors import ClusterError
from realkube.images import BUSYBOX
from realkube.team import VOLUME, Flow, Team

ACCOUNT = "runner"
ENDED = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
OURS = "dataflows.accelchain.io,wbfunctions.accelchain.io,wbconnections.accelchain.io"
FLOW_ENDED = ("Succeeded", "Failed", "Refused")
OPERATOR_IMAGE = "localhost/accelchain-operator:dev"
_LEFT = (
    "dataflows.accelchain.io,wbfunctions.accelchain.io,wbconnections.accelchain.io,pods,workflowtasksets.argoproj.io"
)


class ArgoTeam(Team):
    """A namespace for workflows: a ServiceAccount, the store's keys, and what ``accelchain argo install`` writes."""

    def __init__(self, cluster: Cluster, namespace: str, *, plugin: bool) -> None:
        super().__init__(cluster, namespace)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
        self.apply(account, keys_secret())
        self.kubectl("apply", "-f", "-", stdin=_installation(namespace, plugin=plugin))

    def submit(self, workflow: Flow) -> str:
        """Create a Workflow, and return its name."""
        made = self.kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(workflow)).stdout
        return made.strip().rpartition("/")[2]

    def workflow(self, name: str) -> Flow:
        """Return a Workflow as the API has it, with its nodes in plain sight."""
        found: Flow = json.loads(self.kubectl("get", "workflow", name, "-o", "json").stdout)
        packed = found.get("status", {}).get("compressedNodes")
        if packed:
            found["status"]["nodes"] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return found

    def until_workflow(
        self, name: str, holds: Callable[[Flow], object], seconds: float = 90.0, what: str = "what is waited for"
    ) -> Flow:
        """Wait until a Workflow is as wanted; return it, or ClusterError with its status after the deadline."""
        deadline = time.monotonic() + seconds
        while True:
            workflow = self.workflow(name)
            if holds(workflow):
                return workflow
            if time.monotonic() > deadline:
                told = summary(workflow)
                flows = {f["metadata"]["name"]: f.get("status", {}).get("phase") for f in self.flows(name)}
                raise ClusterError(f"{what} did not come within {seconds:.0f} s: {json.dumps([told, flows])[-4000:]}")
            time.sleep(0.2)

    def until_ended(self, name: str, seconds: float = 90.0) -> Flow:
        """Wait for the end of a Workflow."""
        return self.until_workflow(name, lambda w: phase(w) in ENDED, seconds, f"the end of workflow {name}")

    def until_flows(
        self, name: str, holds: Callable[[list[Flow]], object], seconds: float = 60.0, what: str = "DataFlows as wanted"
    ) -> list[Flow]:
        """Wait until a Workflow's DataFlows are as wanted, and return them."""
        deadline = time.monotonic() + seconds
        while not holds(found := self.flows(name)):
            if time.monotonic() > deadline:
                told = [(f["metadata"]["name"], f.get("status", {}).get("phase")) for f in found]
                raise ClusterError(f"{what} did not come within {seconds:.0f} s: {told}")
            time.sleep(0.1)
        return found

    def until_running(self, name: str, count: int = 1, seconds: float = 60.0) -> list[Flow]:
        """Wait until so many of a Workflow's DataFlows run."""
        return self.until_flows(name, lambda flows: running(flows) == count, seconds, f"{count} running DataFlows")

    def flows(self, workflow: str) -> list[Flow]:
        """Return a Workflow's DataFlows, the oldest first."""
        label = f"workflows.argoproj.io/workflow={workflow}"
        found = json.loads(self.kubectl("get", "dataflows", "-l", label, "-o", "json").stdout)["items"]
        return sorted(found, key=lambda flow: (flow["metadata"]["creationTimestamp"], flow["metadata"]["name"]))

    def told(self, workflow: str) -> Flow:
        """Return the results that a Workflow's WorkflowTaskSet holds, by node id."""
        found = json.loads(self.kubectl("get", "workflowtaskset", workflow, "-o", "json").stdout)
        results: Flow = found.get("status", {}).get("nodes") or {}
        return results

    def agents(self, workflow: str) -> list[str]:
        """Return the names of a Workflow's agent pods."""
        label = f"workflows.argoproj.io/component=agent,workflows.argoproj.io/workflow={workflow}"
        return self.kubectl("get", "pods", "-l", label, "-o", "name").stdout.split()

    def change(self, name: str, **spec: Any) -> None:
        """Change fields of a Workflow's spec, which is all that ``argo stop`` and its like do."""
        self.kubectl("patch", "workflow", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def left(self) -> list[str]:
        """Return the names of everything that workflows and flows have in the namespace."""
        return self.kubectl("get", _LEFT, "-o", "name").stdout.split()


def _installation(namespace: str, *, plugin: bool) -> str:
    """Return what the command for administrators writes for a namespace."""
    command = [Path(sys.executable).with_name("accelchain"), "argo", "install", "-n", namespace]
    command += ["--service-account", ACCOUNT, *(["--image", OPERATOR_IMAGE] if plugin else ["--without-plugin"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ClusterError(f"accelchain argo install failed: {done.stderr}")
    return done.stdout


def phase(workflow: Flow) -> str:
    """Return the phase of a Workflow; empty while it has none."""
    return str(workflow.get("status", {}).get("phase", ""))


def running(flows: Sequence[Flow]) -> int:
    """Count the flows that run."""
    return sum(flow.get("status", {}).get("phase") == "Running" for flow in flows)


def over(flows: Sequence[Flow]) -> bool:
    """Tell whether all flows have ended."""
    return all(flow.get("status", {}).get("phase") in FLOW_ENDED for flow in flows)


def nodes(workflow: Flow) -> dict[str, Flow]:
    """Return a Workflow's nodes by their display names; loops' nodes are ``name(0:item)``."""
    found = workflow.get("status", {}).get("nodes") or {}
    return {node["displayName"]: node for node in found.values()}


def node(workflow: Flow, name: str) -> Flow:
    """Return a node by its display name; empty where there is none."""
    return nodes(workflow).get(name, {})


def summary(workflow: Flow) -> dict[str, str]:
    """Return phases and messages of a Workflow and its nodes."""
    told = {"": workflow.get("status", {}), **nodes(workflow)}
    return {name: f"{n.get('phase')}: {n.get('message', '')}" for name, n in told.items()}


def parameters(found: Flow) -> dict[str, str]:
    """Return the output parameters of a node."""
    return {p["name"]: p.get("value", "") for p in found.get("outputs", {}).get("parameters", [])}


def copying(film: str = "", source: str = "file:///data/grey.mp4", dawdle: Flow | None = None, **spec: Any) -> Flow:
    """Return the spec of a flow that copies the pictures of a clip, through ``dawdle`` if its parameters are given.

    Args:
        film: file of the team's volume; empty: the address comes from an artifact.
        source: address of the clip; empty: it comes from an artifact.
        dawdle: parameters of ``dawdle``: ``seconds`` for a picture (of 100), ``failAt`` a picture.
        spec: further fields of the DataFlow.
    """
    functions = [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        *([{"name": "dawdle", "type": "dawdle", "parameters": dawdle}] if dawdle is not None else []),
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.film.uri)", "quality": 10}},
    ]
    names = [function["name"] for function in functions]
    pairs = itertools.pairwise(names)
    connections = [{"from": f"{one}.frames", "to": f"{other}.frames"} for one, other in pairs]
    ports = {"inputs": [{"name": "video"}], "outputs": [{"name": "film"}]}
    made: Flow = {"chain": {**ports, "functions": functions, "connections": connections}, "volumes": [VOLUME], **spec}
    if source:
        made["inputs"] = {"video": {"uri": source}}
    if film:
        made["outputs"] = {"film": {"uri": f"file:///data/{film}"}}
    return made


def step(name: str, dataflow: Flow, results: Flow | None = None, body: Flow | None = None, **template: Any) -> Flow:
    """Return a template that is a DataFlow, with output parameters as ``results`` names their sources."""
    ours = {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": dataflow, **(body or {})}
    made = {"name": name, "plugin": {"accelchain": ours}, **template}
    if results:
        ours["results"] = results
        declared = [{"name": output, "valueFrom": {"supplied": {}}} for output in results]
        made["outputs"] = {**made.get("outputs", {}), "parameters": declared}
    return made


def shell(name: str, script: str, **template: Any) -> Flow:
    """Return a template that is an ordinary pod."""
    container = {"image": BUSYBOX, "command": ["sh", "-c"], "args": [script]}
    container["resources"] = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    return {"name": name, "container": container, **template}


def dag(name: str, *tasks: Flow, **template: Any) -> Flow:
    """Return a template of tasks."""
    return {"name": name, "dag": {"tasks": list(tasks)}, **template}


def task(name: str, after: Sequence[str] = (), template: str = "", **fields: Any) -> Flow:
    """Return a task of the template with its name; values of ``parameters`` go to its arguments."""
    given = fields.pop("parameters", None)
    made: Flow = {"name": name, "template": template or name, **fields}
    if after:
        made["dependencies"] = list(after)
    if given:
        made["arguments"] = {"parameters": [{"name": key, "value": value} for key, value in given.items()]}
    return made


def workflow(prefix: str, *templates: Flow, entrypoint: str = "", **spec: Any) -> Flow:
    """Return a Workflow of templates; the first one is its entrypoint unless another is named."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{prefix}-"},
        "spec": {
            "entrypoint": entrypoint or templates[0]["name"],
            "serviceAccountName": ACCOUNT,
            "templates": list(templates),
            **spec,
        },
    }
