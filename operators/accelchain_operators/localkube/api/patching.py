# SPDX-License-Identifier: Apache-2.0
"""PATCH: which kind of patch, applied to the object as the client's version shows it."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.api import writing
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import WriteOptions
from accelchain_operators.localkube.apply.json_patch import PatchError, json_patch, merge_patch
from accelchain_operators.localkube.apply.strategic import strategic_merge
from accelchain_operators.localkube.errors import StatusError, bad_request, unsupported_media_type
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.endpoint import Endpoint

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def patch(
    cluster: Cluster,
    endpoint: Endpoint,
    namespace: str,
    name: str,
    media_type: str,
    body: Any,
    options: WriteOptions,
    *,
    subresource: str = "",
) -> tuple[JsonObject, bool]:
    """Patch an object; returns it and whether it is new. Raises StatusError 400, 404, 409, 415, 422."""
    if media_type == APPLY:
        return writing.apply(cluster, endpoint, namespace, name, body, options, subresource=subresource)
    accepted = (JSON, MERGE, APPLY) if endpoint.custom else (JSON, MERGE, STRATEGIC, APPLY)
    if media_type not in accepted:
        raise unsupported_media_type(media_type, accepted)
    live = endpoint.show(cluster.get(endpoint, namespace, name))
    try:
        new = _patched(live, endpoint, media_type, body)
    except PatchError as error:
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", f"{message}: {error}") from None
    if not isinstance(new, dict):
        raise bad_request("the patch leaves no object")
    updated = writing.update(
        cluster, endpoint, namespace, name, new, options, subresource=subresource, is_put=False
    )  # fmt: skip
    return updated, False


def _patched(live: JsonObject, endpoint: Endpoint, media_type: str, body: Any) -> Any:
    if media_type == JSON:
        return json_patch(live, body)
    if not isinstance(body, dict):
        raise bad_request("the patch must be an object")
    if media_type == STRATEGIC:
        return strategic_merge(live, body, endpoint.schema)
    return merge_patch(live, body)
