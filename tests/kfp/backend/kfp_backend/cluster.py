# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes that runs see: an embedded API with our operators, Argo's Workflow kind, pods of runs as objects."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from accelchain.cli.local import LocalCluster
from accelchain_operators.kube.client import ApiError, JsonObject, ResourceType
from kfp_backend.store import S3Store

T = TypeVar("T")
NAMESPACE = "default"
CRDS = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)
WORKFLOWS = ResourceType("argoproj.io/v1alpha1", "Workflow", "workflows")
PODS = ResourceType("v1", "Pod", "pods")
CONFIG_MAPS = ResourceType("v1", "ConfigMap", "configmaps")
SECRETS = ResourceType("v1", "Secret", "secrets")
FLOWS = ResourceType("accelchain.io/v1alpha1", "DataFlow", "dataflows")
_SECONDS = 90.0


def workflow_crd() -> JsonObject:
    """Argo's CRD as its ``minimal`` manifests have it: any field, no status subresource."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": "workflows.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "Workflow", "plural": "workflows", "singular": "workflow", "listKind": "WorkflowList"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
        },
    }


class Cluster:
    """A cluster in a thread of its own; a context manager, used from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._local: LocalCluster | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)

    def __enter__(self) -> Cluster:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _start(self) -> None:
        self._local = await LocalCluster(folder=self._folder).__aenter__()
        await self._local.client.create(CRDS, workflow_crd())

    async def _end(self) -> None:
        if self._local is not None:
            await self._local.__aexit__(None, None, None)

    def call(self, work: Coroutine[Any, Any, T], seconds: float = _SECONDS) -> T:
        """Await something in the cluster's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    @property
    def local(self) -> LocalCluster:
        """What runs."""
        assert self._local is not None, "it is entered first"
        return self._local

    @property
    def environment(self) -> dict[str, str]:
        """What a kubelet sets in every container."""
        at = urlsplit(self.local.api.url)
        port = str(at.port)
        return {
            "KUBERNETES_SERVICE_HOST": str(at.hostname),
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
            "KUBERNETES_PORT": f"tcp://{at.hostname}:{port}",
        }

    def write_account(self, folder: Path) -> None:
        """Write the files of the service account."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("token", self.local.api.token), ("ca.crt", self.local.api.ca), ("namespace", NAMESPACE)):
            (folder / name).write_text(text)

    def create(self, kind: ResourceType, obj: JsonObject) -> JsonObject:
        """Create an object."""
        obj["metadata"]["namespace"] = NAMESPACE
        return self.call(self.local.client.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **obj}))

    def patch(self, kind: ResourceType, name: str, patch: JsonObject, subresource: str = "") -> None:
        """Merge a patch into an object."""
        self.call(self.local.client.patch(kind, name, NAMESPACE, patch, subresource=subresource))

    def delete(self, kind: ResourceType, name: str) -> None:
        """Delete an object."""
        self.call(self.local.client.delete(kind, name, NAMESPACE))

    def objects(self, kind: ResourceType) -> list[JsonObject]:
        """Return all objects of a kind."""
        return self.call(self.local.client.list(kind, NAMESPACE))[0]

    def find(self, kind: ResourceType, name: str) -> JsonObject | None:
        """Return an object, None where there is none."""
        try:
            return self.call(self.local.client.get(kind, name, NAMESPACE))
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def files(self) -> set[Path]:
        """Return the files that workers and the API keep."""
        return {path for path in self._folder.rglob("*") if not path.is_dir()}

    def until(self, condition: Callable[[], T], seconds: float = 30.0, what: str = "the condition") -> T:
        """Return what a condition gives once it is true.

        Raises:
            AssertionError: it isn't in time.
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
            time.sleep(0.05)
        return found

    def configure_store(self, store: S3Store) -> None:
        """Write what an administrator writes of the object store: ConfigMap ``kfp-launcher`` and its Secret.

        config/s3.go, config/minio.go and config/env.go of the backend read them.
        """
        keys = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
        default = {
            "endpoint": store.endpoint,
            "region": "us-east-1",
            "disableSSL": True,
            "forcePathStyle": True,
            "credentials": {"fromEnv": False, "secretRef": keys},
        }
        providers = {scheme: {"default": default} for scheme in ("s3", "minio")}
        data = {"defaultPipelineRoot": "s3://mlpipeline/v2", "providers": yaml.safe_dump(providers)}
        texts = {"accesskey": store.access, "secretkey": store.secret}
        for kind, name, content in (
            (CONFIG_MAPS, "kfp-launcher", {"data": data}),
            (SECRETS, "mlpipeline-minio-artifact", {"stringData": texts}),
        ):
            if self.find(kind, name) is None:
                self.create(kind, {"metadata": {"name": name}, **content})

    def start_pod(self, name: str, workflow: JsonObject, run_id: str, node: str) -> str:
        """Make the object of an executor's pod, as Argo's controller does; return its uid."""
        meta = workflow["metadata"]
        owner = {"apiVersion": WORKFLOWS.api_version, "kind": "Workflow", "name": meta["name"], "uid": meta["uid"]}
        node_id = f"{meta['name']}-{uuid.uuid5(uuid.NAMESPACE_URL, node).int % 10**10}"
        made = self.create(
            PODS,
            {
                "metadata": {
                    "name": name,
                    "labels": {
                        "workflows.argoproj.io/workflow": meta["name"],
                        "workflows.argoproj.io/completed": "false",
                        "pipeline/runid": run_id,
                    },
                    "annotations": {
                        "workflows.argoproj.io/node-name": node,
                        "workflows.argoproj.io/node-id": node_id,
                        "pipelines.kubeflow.org/runtime-role": "launcher",
                    },
                    "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
                },
                "spec": {
                    "nodeName": "elsewhere",
                    "serviceAccountName": "pipeline-runner",
                    "restartPolicy": "Never",
                    "containers": [{"name": name, "image": "image"} for name in ("wait", "main")],
                },
            },
        )
        self.patch(PODS, name, {"status": {"phase": "Running"}}, "status")
        return str(made["metadata"]["uid"])

    def end_pod(self, name: str, *, is_good: bool) -> None:
        """Tell how a pod ended."""
        self.patch(PODS, name, {"status": {"phase": "Succeeded" if is_good else "Failed"}}, "status")
