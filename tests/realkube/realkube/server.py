# SPDX-License-Identifier: Apache-2.0
"""A very small client of the API server, for waiting."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

_SECONDS = 10.0


class Server:
    """Reads objects as the administrator, through the relay."""

    def __init__(self, port: int, pki: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "administrator.crt", pki / "administrator.key")

    def get(self, path: str) -> dict[str, Any] | None:
        """Return what lies at a path; None where it is not there, or the server is not."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=_SECONDS, context=self._context)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status != http.client.OK:
            return None
        found: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {"text": body.decode()}
        return found

    def is_ready(self) -> bool:
        """Return whether the server is ready."""
        return self.get("/readyz") is not None

    def has_ready_node(self, name: str) -> bool:
        """Return whether a node is ready, and pods may be placed on it."""
        node = self.get(f"/api/v1/nodes/{name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
        return ready and not node["spec"].get("taints")
