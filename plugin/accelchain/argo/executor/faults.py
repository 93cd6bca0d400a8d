# SPDX-License-Identifier: Apache-2.0
"""What an error of the Kubernetes API means for a node. Pure."""

from __future__ import annotations

from accelchain.argo.executor import replies
from accelchain_operators.kube.client import ApiError, JsonObject

AGAIN_SECONDS = 5.0
QUOTA_SECONDS = 10.0
INSTALL = "accelchain argo install -n {namespace} | kubectl apply -f -"


def passing(error: ApiError) -> float | None:
    """Return after how many seconds to try again; None: it does not pass by itself.

    The client has tried several times by then.
    """
    if error.transient or error.code in (409, 410):
        return AGAIN_SECONDS
    return QUOTA_SECONDS if error.code == 403 and "exceeded quota" in error.message else None


def denied(error: ApiError) -> bool:
    """Tell whether we are not let in; an API server that has just started says so too, until it has read its roles."""
    return error.code in (401, 403)


def node_failure(error: ApiError, namespace: str) -> JsonObject:
    """Return the reply that ends a node: the author's fault (the API refuses the DataFlow) or the installation's."""
    if error.code == 403:
        advice = INSTALL.format(namespace=namespace)
        return replies.failure(
            "Error", f"the plugin lacks a right in namespace {namespace} ({advice}): {error.message}"
        )
    if error.code == 401:
        return replies.failure("Error", f"the Kubernetes API does not accept the plugin's token: {error.message}")
    if error.code == 404:
        return replies.failure("Error", f"this cluster lacks accelchain, or namespace {namespace}: {error.message}")
    return replies.failure("Failed", f"plugin.accelchain.dataflow: the Kubernetes API refuses it: {error.message}")
