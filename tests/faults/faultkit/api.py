# SPDX-License-Identifier: Apache-2.0
"""The embedded API with what flows name, and a way to its inside for those who are the cluster themselves.

Simulated kubelets and the oracles act on the server's store directly: no fault meets them, and they see every revision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accelchain.api.common import API_VERSION
from accelchain.api.crd import crds
from accelchain_operators.kube import kinds
from accelchain_operators.kube.client import JsonObject, ResourceType
from accelchain_operators.localkube.api import deletion, patching
from accelchain_operators.localkube.api.options import DeleteOptions, WriteOptions
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube, Options
from accelchain_operators.localkube.store.store import Change, Key
from accelchain_operators.localkube.web import pod_actions

NAMESPACES = ("blue", "green")
RATE = 30.0
"""Frames a second that a whole gpu0 can take."""
PLACES = {"gpu0": 3, "gpu1": 2}
"""Functions that each accelerator of a node can hold."""


class Api:
    """The API server, and what only a control plane may do."""

    def __init__(self) -> None:
        self.kube = LocalKube(Options(window=4000))
        for name in NAMESPACES:
            self.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for obj in (*crds(), *_types(), *(_chain(name) for name in NAMESPACES)):
            self.kube.put(obj)

    def _endpoint(self, type: ResourceType) -> Any:
        found = self.kube._cluster.registry.find_kind(type.api_version, type.kind)
        assert found is not None
        return found

    def _storage(self, type: ResourceType) -> str:
        return str(self._endpoint(type).storage)

    def all(self, type: ResourceType) -> list[JsonObject]:
        """Return all objects of a kind; they are the server's: not to be changed."""
        return self.kube._cluster.store.items(self._storage(type))

    def get(self, type: ResourceType, namespace: str | None, name: str) -> JsonObject | None:
        """Return an object, or None."""
        return self.kube._cluster.store.get(Key(self._storage(type), namespace or "", name))

    def patch(self, type: ResourceType, namespace: str | None, name: str, body: JsonObject, sub: str = "") -> None:
        """Merge-patch an object, as the cluster itself. Raises StatusError."""
        endpoint = self._endpoint(type)
        options = WriteOptions(manager="cluster")
        patching.patch(
            self.kube._cluster, endpoint, namespace or "", name, patching.MERGE, body, options, subresource=sub
        )

    def delete(self, type: ResourceType, namespace: str | None, name: str, grace: int | None = None) -> None:
        """Delete an object, as the cluster itself. Raises StatusError."""
        options = DeleteOptions(grace_seconds=grace)
        deletion.delete(self.kube._cluster, self._endpoint(type), namespace or "", name, options)

    def bind(self, pod: JsonObject, node: str) -> None:
        """Put a Pod onto a node. Raises StatusError."""
        meta, endpoint = pod["metadata"], self._endpoint(kinds.POD)
        body = {"target": {"name": node}}
        options = WriteOptions(manager="kube-scheduler")
        pod_actions.bind(self.kube._cluster, endpoint, meta["namespace"], meta["name"], body, options)

    def listen(self, type: ResourceType, listener: Callable[[Change], None]) -> None:
        """Be told of every change of a kind, in order, from now on."""

        def told(change: Change | None) -> None:
            if change is not None:  # None: watches were cut
                listener(change)

        self.kube._cluster.store.listen(self._storage(type), told)

    def cut(self, *types: ResourceType, forget: bool = True) -> None:
        """Cut all watches of some kinds; with ``forget`` clients that missed something have to list again (410)."""
        store = self.kube._cluster.store
        for type in types:
            if forget:
                store.end(self._storage(type))
            else:
                for listener in tuple(store._shelf(self._storage(type)).listeners):
                    listener(None)

    def refuse_watches(self, type: ResourceType, code: int = 503) -> Fault:
        """Let no watch or list of a kind begin until the fault is ended by ``times = 0``."""
        return self.kube.faults.add(
            Fault(
                resource=type.plural,
                code=code,
                times=None,
                matches=lambda info: info.verb in ("watch", "list"),
            )
        )


def node_inventory(node: str) -> JsonObject:
    """Return a node's ComputeResource: a host, and two accelerators with few places."""
    devices = [{"name": "host", "type": "cpu", "api": "host", "id": "host", "maxFunctions": 1000}]
    devices += [
        {"name": name, "type": "gpu", "api": "opencl", "id": f"Vendor/{name}", "maxFunctions": places}
        for name, places in PLACES.items()
    ]
    names = [device["name"] for device in devices]
    links = [
        {"from": a, "to": b, "mechanism": "same-buffer" if a == b else "shared-host"}
        for index, a in enumerate(names)
        for b in names[index:]
    ]
    return _ours("ComputeResource", node, {"nodeName": node, "devices": devices, "links": links})


def _ours(kind: str, name: str, spec: JsonObject, namespace: str | None = None) -> JsonObject:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


def _types() -> list[JsonObject]:
    frames = {"name": "frames", "type": "frames", "dtype": "uint8", "shape": ["height", "width", 3]}
    host = {"name": "host", "api": "host", "deviceTypes": ["cpu"], "entrypoint": "f:F", "framesPerSecond": 1e6}
    gpu = {"name": "opencl", "api": "opencl", "deviceTypes": ["gpu"], "entrypoint": "f:F", "framesPerSecond": RATE}
    address = {"name": "uri", "type": "string", "required": True}
    threshold = {"name": "threshold", "type": "number", "default": 0.5}
    return [
        _ours(
            "FunctionType",
            "camera",
            {
                "version": "1.0.0",
                "role": "source",
                "outputs": [frames],
                "parameters": [{**address, "format": "uri-input"}],
                "implementations": [host],
            },
        ),
        _ours(
            "FunctionType",
            "detect",
            {
                "version": "1.0.0",
                "role": "sink",
                "inputs": [frames],
                "parameters": [{**address, "format": "uri-output"}, threshold],
                "implementations": [gpu],
            },
        ),
    ]


def _chain(namespace: str) -> JsonObject:
    spec = {
        "parameters": [{"name": "threshold", "type": "number", "default": 0.5}],
        "inputs": [{"name": "video"}],
        "outputs": [{"name": "found"}],
        "functions": [
            {"name": "in", "type": "camera", "parameters": {"uri": "$(inputs.video.uri)"}},
            {
                "name": "out",
                "type": "detect",
                "parameters": {"uri": "$(outputs.found.uri)", "threshold": "$(parameters.threshold)"},
            },
        ],
        "connections": [{"from": "in.frames", "to": "out.frames"}],
    }
    return _ours("FunctionChain", "find", spec, namespace)


def make_flow(name: str, namespace: str, **spec: Any) -> JsonObject:
    """Return a DataFlow of the chain; fields that are None are left out."""
    given = {
        "chainRef": {"name": "find"},
        "inputs": {"video": {"uri": "https://example.org/in.mp4"}},
        "outputs": {"found": {"uri": "s3://found/all.jsonl"}},
        "mode": "Batch",
        **spec,
    }
    return _ours("DataFlow", name, {key: value for key, value in given.items() if value is not None}, namespace)
