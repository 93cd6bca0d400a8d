# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API that knows kinds and keeps nothing: Helm renders a chart only while it installs it.

Helm's library offers no ``helm template``. It asks the API for its version and its kinds, looks whether objects exist
(none does here), and applies each; the answer is the object that came. Standard library only, loopback only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}
KINDS: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "v1": {
        "ConfigMap": ("configmaps", True),
        "Namespace": ("namespaces", False),
        "Secret": ("secrets", True),
        "Service": ("services", True),
        "ServiceAccount": ("serviceaccounts", True),
    },
    "accelchain.io/v1alpha1": {"FunctionType": ("functiontypes", False)},
    "admissionregistration.k8s.io/v1": {
        "ValidatingAdmissionPolicy": ("validatingadmissionpolicies", False),
        "ValidatingAdmissionPolicyBinding": ("validatingadmissionpolicybindings", False),
    },
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": ("customresourcedefinitions", False)},
    "apps/v1": {"DaemonSet": ("daemonsets", True), "Deployment": ("deployments", True)},
    "monitoring.coreos.com/v1": {"ServiceMonitor": ("servicemonitors", True)},
    "networking.k8s.io/v1": {"NetworkPolicy": ("networkpolicies", True)},
    "policy/v1": {"PodDisruptionBudget": ("poddisruptionbudgets", True)},
    "rbac.authorization.k8s.io/v1": {
        "ClusterRole": ("clusterroles", False),
        "ClusterRoleBinding": ("clusterrolebindings", False),
        "Role": ("roles", True),
        "RoleBinding": ("rolebindings", True),
    },
}
"""By API version and kind: plural, and whether it is namespaced."""
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@contextmanager
def throwaway_api() -> Iterator[dict[str, Any]]:
    """Serve the API for as long as the context lasts; yields a kubeconfig."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield kubeconfig(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def kubeconfig(url: str) -> dict[str, Any]:
    """Return a kubeconfig for an API that asks nobody who he is."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "throwaway",
        "contexts": [{"name": "throwaway", "context": {"cluster": "throwaway", "user": "nobody"}}],
        "clusters": [{"name": "throwaway", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, the second would wait for an answer to the first

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        root, _, version = path.partition("/")
        if path == "version":
            self._answer(200, VERSION)
        elif path == "api":
            self._answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "apis":
            self._answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups()})
        elif root in ("api", "apis") and version in KINDS:
            self._answer(200, _resources(version))
        else:
            self._answer(404, _NOT_FOUND)

    def do_PATCH(self) -> None:
        self._answer(201, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: people read what is rendered."""

    def _answer(self, code: int, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _groups() -> list[dict[str, Any]]:
    found = []
    for group_version in KINDS:
        group, _, version = group_version.partition("/")
        if version:
            named = {"groupVersion": group_version, "version": version}
            found.append({"name": group, "versions": [named], "preferredVersion": named})
    return found


def _resources(group_version: str) -> dict[str, Any]:
    resources = [
        {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced, "verbs": _VERBS}
        for kind, (plural, namespaced) in KINDS[group_version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
