# SPDX-License-Identifier: Apache-2.0
"""Where a flow reads and writes a task's artifacts (pure).

In a cluster the sinks write to the pipeline's root themselves: KFP's launcher, which uploads what lies under an
artifact's path when we end, takes a file that is not there for one that was not made, and goes on
(kubeflow/pipelines 2.17.0, backend/src/v2/component/launcher_v2.go: uploadOutputArtifacts).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from accelchain.kfp.core.payload import Payload
from accelchain.kfp.launcher.errors import WRONG_INPUT, LaunchError
from accelchain.kfp.launcher.task import Task
from accelchain.kfp.step.artifacts import Artifact

JsonObject = dict[str, Any]

STORE_CONFIG: Final = "kfp-launcher"
"""The ConfigMap in which KFP's launchers find their object store."""
_DEFAULT_SECRET: Final = {
    "secretName": "mlpipeline-minio-artifact",
    "accessKeyKey": "accesskey",
    "secretKeyKey": "secretkey",
}
_DEFAULT_ENDPOINT: Final = "seaweedfs.kubeflow:9000"
"""Of a KFP that stands alone: manifests/kustomize/third-party/seaweedfs."""
_READABLE = ("s3://", "http://", "https://", "rtsp://", "rtsps://", "file://")


def addresses(
    payload: Payload, task: Task, store: JsonObject | None, folder: Path | None
) -> tuple[dict[str, JsonObject], dict[str, JsonObject]]:
    """Return ``spec.inputs`` and ``spec.outputs`` for what the payload leaves open.

    Args:
        payload: of the launcher.
        task: its artifacts and parameters.
        store: data of the ConfigMap ``kfp-launcher``; None: there is none.
        folder: where relative paths count from, if workers see this process' files; None: they don't.

    Raises:
        LaunchError: an address can't be read or written there.
    """
    inputs = {
        own: address
        for own, place in payload.inputs.items()
        if (address := _input(own, place, task, store, folder)) is not None
    }
    outputs = {own: _output(own, place, task, store, folder) for own, place in payload.outputs.items()}
    return inputs, outputs


def whole(spec: JsonObject, folder: Path | None) -> JsonObject:
    """Return a spec whose inputs and outputs are whole addresses, where paths count from a folder of this machine."""
    if folder is None:
        return spec
    found = dict(spec)
    for side in ("inputs", "outputs"):
        for name, place in (spec.get(side) or {}).items():
            uri = place.get("uri") if isinstance(place, dict) else None
            if isinstance(uri, str) and uri and "://" not in uri:
                found[side] = {**found[side], name: {**place, "uri": f"file://{folder / uri}"}}
    return found


def _input(own: str, place: JsonObject, task: Task, store: JsonObject | None, folder: Path | None) -> JsonObject | None:
    if "parameter" in place:
        value = task.values.get(place["parameter"])
        return None if value is None else _plain(f"input {place['parameter']}", str(value), folder)
    return _artifact(f"input {own}", task.inputs[place["artifact"]], store, folder)


def _output(own: str, place: JsonObject, task: Task, store: JsonObject | None, folder: Path | None) -> JsonObject:
    if "parameter" in place:
        return _plain(f"output {place['parameter']}", str(task.values.get(place["parameter"]) or ""), folder)
    return _artifact(f"output {own}", task.outputs[place["artifact"]], store, folder)


def _plain(what: str, text: str, folder: Path | None) -> JsonObject:
    if folder is not None and text and "://" not in text:
        return {"uri": f"file://{folder / text}"}
    if not text.startswith(_READABLE):
        raise LaunchError(f"{what} is {text!r}: give an address, such as s3://bucket/key or https://….", WRONG_INPUT)
    return {"uri": text}


def _artifact(what: str, artifact: Artifact, store: JsonObject | None, folder: Path | None) -> JsonObject:
    scheme, separator, rest = artifact.uri.partition("://")
    if folder is not None:
        return {"uri": artifact.path if "://" in artifact.path else f"file://{folder / artifact.path}"}
    if scheme in ("s3", "minio"):
        bucket, _, key = rest.partition("?")[0].partition("/")
        return {"uri": f"s3://{bucket}/{key}", **_s3(scheme, bucket, key, store)}
    if separator and artifact.uri.startswith(_READABLE):
        return {"uri": artifact.uri}
    raise LaunchError(
        f"{what} is {artifact.uri!r}: chains read and write s3:// and minio://: give the pipeline such a root.",
        WRONG_INPUT,
    )


def _s3(scheme: str, bucket: str, key: str, store: JsonObject | None) -> JsonObject:
    """Return how a bucket is reached, as KFP's own launcher finds it out.

    See kubeflow/pipelines 2.17.0, backend/src/v2/config/env.go: GetStoreSessionInfo, and objectstore/config.go.
    """
    providers = _providers(store)
    provider = providers.get(scheme) or {}
    chosen = provider.get("default") or {}
    for override in provider.get("Overrides") or provider.get("overrides") or ():
        if override.get("bucketName") == bucket and key.startswith(str(override.get("keyPrefix") or "")):
            chosen = {**chosen, **override}
    if not chosen and scheme == "minio":
        chosen = {"endpoint": _DEFAULT_ENDPOINT, "disableSSL": True, "credentials": {"secretRef": _DEFAULT_SECRET}}
    credentials = chosen.get("credentials") or {}
    if not chosen or credentials.get("fromEnv"):
        return {"s3": _without_empty(_place(chosen))} if chosen else {}
    secret = {**_DEFAULT_SECRET, **(credentials.get("secretRef") or {})}
    place = _place(chosen) | {
        "accessKeySecret": {"name": secret["secretName"], "key": secret["accessKeyKey"]},
        "secretKeySecret": {"name": secret["secretName"], "key": secret["secretKeyKey"]},
    }
    return {"s3": _without_empty(place)}


def _place(chosen: Mapping[str, Any]) -> JsonObject:
    endpoint = str(chosen.get("endpoint") or "")
    address = urlsplit(endpoint) if "://" in endpoint else None
    insecure = chosen.get("disableSSL") in (True, "true") or (address is not None and address.scheme == "http")
    region = str(chosen.get("region") or "")
    return {
        "endpoint": (address.netloc if address else endpoint).rstrip("/"),
        "region": "" if region == "minio" else region,
        "insecure": insecure and bool(endpoint),
    }


def _providers(store: JsonObject | None) -> Mapping[str, Any]:
    text = (store or {}).get("providers")
    if not isinstance(text, str):
        return {}
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise LaunchError(f"ConfigMap {STORE_CONFIG}: providers is no YAML: correct it.") from None
    return found if isinstance(found, dict) else {}


def _without_empty(place: JsonObject) -> JsonObject:
    return {key: value for key, value in place.items() if value}
