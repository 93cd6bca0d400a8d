# SPDX-License-Identifier: Apache-2.0
"""What is done to pods by posting: binding to a node, and eviction."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.api import deletion, identity, writing
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import DeleteOptions, WriteOptions
from accelchain_operators.localkube.errors import StatusError, bad_request, invalid, required_field
from accelchain_operators.localkube.objects import JsonObject, clone, lookup
from accelchain_operators.localkube.resources.endpoint import Endpoint

CREATED: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def bind(cluster: Cluster, pods: Endpoint, namespace: str, name: str, body: Any, options: WriteOptions) -> JsonObject:
    """Put a pod onto the node that a Binding names, once. Raises StatusError 404, 409, 422."""
    node = lookup(body, "target", "name")
    if not node:
        raise invalid("", "Binding", name, [required_field("target.name")])
    pod = clone(cluster.get(pods, namespace, name))
    identity.check_preconditions(pods, lookup(body, "metadata") or {}, pod)
    if pod["spec"].get("nodeName"):
        message = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise StatusError(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{name}": {message}')
    if pod["metadata"].get("deletionTimestamp"):
        message = f"pod {name} is being deleted, cannot be assigned to a host"
        raise StatusError(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{name}": {message}')
    pod["spec"]["nodeName"] = node
    writing.update(cluster, pods, namespace, name, pod, options, subresource="binding")
    return CREATED


def evict(cluster: Cluster, pods: Endpoint, namespace: str, name: str, body: Any) -> JsonObject:
    """Delete a pod as a drain does; disruption budgets are not looked at. Raises StatusError 404."""
    if not isinstance(body, dict):
        raise bad_request("the body must be an Eviction")
    asked = body.get("deleteOptions") or {}
    deletion.delete(cluster, pods, namespace, name, DeleteOptions.read(asked, {}))
    return CREATED
