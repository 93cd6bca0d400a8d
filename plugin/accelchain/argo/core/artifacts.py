# SPDX-License-Identifier: Apache-2.0
"""Artifacts: where a chain's inputs and outputs lie, without a Pod that copies them.

A location without an endpoint takes all but its key from the Workflow's repository, as for Argo's own Pods
(argoproj/argo-workflows v4.1.2, workflow_types.go:Relocate).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from accelchain.api.data_flow import S3Access
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.workflow import WorkflowView
from accelchain.chain.problems import choose

JsonObject = dict[str, Any]
_KINDS = ("s3", "http", "gcs", "azure", "oss", "hdfs", "git", "raw", "artifactory", "plugin")
_SECRETS = ("accessKeySecret", "secretKeySecret", "sessionTokenSecret", "caSecret")
_PLAIN = ("endpoint", "region", "insecure")
_REFUSED = ("useSDKCreds", "roleARN", "encryptionOptions")
_AMAZON = "s3.amazonaws.com"
_VARIABLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
FILE_ENDINGS = {"encode-video": ".mp4", "write-detections": ".jsonl"}
"""Of files whose key says no more, by the function that writes them."""


def with_addresses(spec: JsonObject, template: JsonObject, workflow: WorkflowView | None, node_id: str) -> JsonObject:
    """Return the spec with the addresses of the template's artifacts; those of the spec itself go first.

    Args:
        spec: a DataFlow's spec.
        template: whose artifacts are named like the chain's inputs and outputs.
        workflow: whose repository is used where an artifact names none; None: unknown.
        node_id: part of the keys of outputs that have none.

    Raises:
        StepError: an artifact has no place that a chain can read or write.
    """
    filled = {**spec, "inputs": dict(spec.get("inputs") or {}), "outputs": dict(spec.get("outputs") or {})}
    for side in ("inputs", "outputs"):
        for path, artifact in artifacts_of(template, side):
            name = artifact["name"]
            if name in filled[side]:
                continue
            if "chain" in spec:
                known = [end["name"] for end in spec["chain"].get(side) or ()]
                if name not in known:
                    raise StepError(f"{path}.name", f"the chain has no {side[:-1]} '{name}': {choose(name, known)}")
            if side == "inputs" and artifact.get("optional") and not _kind(artifact):
                continue
            key = _default_key(spec, name, workflow, node_id) if side == "outputs" else ""
            filled[side][name] = _address(artifact, path, workflow, key)
    for path, artifact in artifacts_of(template, "outputs"):
        told(artifact, path, filled["outputs"][artifact["name"]], workflow)
    return {key: value for key, value in filled.items() if value or key not in ("inputs", "outputs")}


def artifacts_of(template: JsonObject, side: str) -> list[tuple[str, JsonObject]]:
    """Return the template's artifacts of one side, each with its path.

    Raises:
        StepError: one has no name.
    """
    given = (template.get(side) or {}).get("artifacts") or ()
    found = [(f"{side}.artifacts[{i}]", artifact) for i, artifact in enumerate(given)]
    for path, artifact in found:
        if not isinstance(artifact, dict) or not isinstance(artifact.get("name"), str) or not artifact["name"]:
            raise StepError(f"{path}.name", "give the artifact a name.")
    return found


def told(artifact: JsonObject, path: str, address: JsonObject, workflow: WorkflowView | None) -> JsonObject:
    """Return an output artifact as it is told to Argo: the declared one, with its place.

    Args:
        artifact: as the template declares it.
        path: where it is declared.
        address: where the flow writes it.
        workflow: whose repository it may lie in; None: unknown.

    Raises:
        StepError: Argo could not find it there.
    """
    kept = {key: value for key, value in artifact.items() if key not in (*_KINDS, "from", "fromExpression")}
    kept["archive"] = {"none": {}}
    uri = address["uri"]
    if uri.startswith(("http://", "https://")):
        return kept | {"http": {"url": uri}}
    if not uri.startswith("s3://"):
        raise StepError(
            path, f"{uri[:80]} is no place that Argo reads from: give an s3 address, or take the artifact out."
        )
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    place = dict(address.get("s3") or {})
    repository = _repository_s3(workflow)
    if not place and repository.get("bucket") == bucket:
        place = _s3_options(repository, "the artifact repository")
    if not place and address.get("credentialsRef"):
        raise StepError(
            path, "a credentialsRef does not tell Argo where the artifact is: give its address s3 (endpoint …) instead."
        )
    return kept | {"s3": {"endpoint": _AMAZON, **place, "bucket": bucket, "key": key}}


def _kind(artifact: JsonObject) -> str:
    return next((kind for kind in _KINDS if isinstance(artifact.get(kind), dict)), "")


def _address(artifact: JsonObject, path: str, workflow: WorkflowView | None, default_key: str) -> JsonObject:
    kind = _kind(artifact)
    place = artifact.get(kind) or {}
    if kind == "http":
        if not isinstance(place.get("url"), str) or place.get("headers") or place.get("auth"):
            name = artifact["name"]
            raise StepError(
                f"{path}.http", f"only url is supported: give dataflow.{path.split('.')[0]}.{name} a credentialsRef."
            )
        return {"uri": place["url"]}
    if kind not in ("s3", ""):
        raise StepError(f"{path}.{kind}", f"{kind} is no place that chains read or write: use s3 or http.")
    if not kind and not default_key:
        raise StepError(path, "the artifact has no location: give it one, or make it optional.")
    key = place.get("key") or default_key
    if not place.get("endpoint") or not place.get("bucket") or not place.get("key"):
        place = _from_repository(path, workflow)
    if not isinstance(key, str) or not key:
        raise StepError(f"{path}.s3.key", "give the object's key.")
    if unknown := _VARIABLE.search(key):
        raise StepError(f"{path}.s3.key", f"{unknown[0][:80]} is not known here: give the whole key.")
    return {"uri": f"s3://{place['bucket']}/{key.lstrip('/')}", "s3": _s3_options(place, f"{path}.s3")}


def _from_repository(path: str, workflow: WorkflowView | None) -> JsonObject:
    if workflow is None:
        raise StepError(
            f"{path}.s3", "the Workflow can't be read, so its repository is unknown: give endpoint, bucket and key."
        )
    found = _repository_s3(workflow)
    if not found.get("bucket"):
        kind = next((k for k in _KINDS if (workflow.repository or {}).get(k)), "")
        why = f"the Workflow's artifact repository is {kind}" if kind else "the Workflow has no artifact repository"
        raise StepError(f"{path}.s3", f"{why}: give endpoint, bucket and key.")
    return found


def _repository_s3(workflow: WorkflowView | None) -> JsonObject:
    found: JsonObject = ((workflow.repository if workflow else None) or {}).get("s3") or {}
    return found


def _s3_options(place: JsonObject, path: str) -> JsonObject:
    """Return how a bucket is reached, in the form of a DataFlow's address."""
    for field in _REFUSED:
        if place.get(field):
            raise StepError(f"{path}.{field}", "this is not supported: use accessKeySecret and secretKeySecret.")
    found = {field: place[field] for field in _PLAIN if place.get(field)}
    for field in _SECRETS:
        if secret := place.get(field):
            found[field] = {"name": secret.get("name"), "key": secret.get("key")}
    if found.get("insecure"):
        found.pop("caSecret", None)  # of no use without TLS, and Argo lets it stand
    try:
        S3Access.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise StepError(f"{path}.{field}", f"this can't be used: {first['msg']}.") from None
    if ("accessKeySecret" in found) != ("secretKeySecret" in found):
        raise StepError(path, "give accessKeySecret and secretKeySecret together, or neither for a public bucket.")
    return found


def _default_key(spec: JsonObject, name: str, workflow: WorkflowView | None, node_id: str) -> str:
    """Return an output's key where it has none: as Argo forms it, with the node's id for the Pod's name."""
    repository = _repository_s3(workflow)
    pattern = repository.get("keyFormat") or posixpath.join(
        repository.get("keyPrefix") or "", "{{workflow.name}}/{{pod.name}}"
    )
    variables: Mapping[str, str] = {**(workflow.variables if workflow else {}), "pod.name": node_id}
    folder = _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), pattern)
    return posixpath.join(folder, name + _extension(spec, name))


def _extension(spec: JsonObject, output: str) -> str:
    for function in (spec.get("chain") or {}).get("functions") or ():
        if f"$(outputs.{output}.uri)" in (function.get("parameters") or {}).values():
            return FILE_ENDINGS.get(function["type"], "")
    return ""
