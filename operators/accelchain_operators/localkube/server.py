# SPDX-License-Identifier: Apache-2.0
"""LocalKube: the embedded Kubernetes API, from start to stop."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from accelchain_operators.localkube.api import writing
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.api.options import WriteOptions
from accelchain_operators.localkube.errors import bad_request
from accelchain_operators.localkube.faults import Faults
from accelchain_operators.localkube.logs import LogSource
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.recorder import Recorder
from accelchain_operators.localkube.tls import make_certificate
from accelchain_operators.localkube.users import Users
from accelchain_operators.localkube.web.app import ApiApp

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_STOP_SECONDS = 1.0
"""How long open requests may take when the server stops."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve.

    Args:
        host: a loopback address.
        port: 0: any free one.
        token: what clients authenticate with.
        window: changes of each kind that are kept to watch from; older revisions get 410.
        event_limit: Events that are kept.
        event_seconds: how long Events are kept.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    window: int = 1000
    event_limit: int = 1000
    event_seconds: float = 3600.0


class LocalKube:
    """An API server in this process.

    ``faults`` breaks things for tests, ``recorder`` tells what was asked for.
    """

    def __init__(self, options: Options | None = None) -> None:
        """Prepare the server; nothing listens yet. Raises ValueError for a host that is not loopback."""
        self.options = options or Options()
        if not ipaddress.ip_address(self.options.host).is_loopback:
            raise ValueError(f"host must be a loopback address, not {self.options.host}")
        self.token = self.options.token
        self.users = Users(self.token)
        """Who may ask. The token above is an administrator's; for everybody else RBAC holds."""
        self.faults = Faults()
        self.recorder = Recorder()
        self._cluster = Cluster(
            # milliseconds: later than any revision that an earlier server on this machine gave out
            first_revision=int(time.time() * 1000),
            window=self.options.window,
            event_limit=self.options.event_limit,
            event_seconds=self.options.event_seconds,
            defer=self._defer,
        )
        self._logs: dict[str, LogSource] = {}
        self._certificate = make_certificate(self.options.host)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: ApiApp | None = None
        self._runner: web.AppRunner | None = None
        self._url = ""
        for name in _NAMESPACES:
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    @property
    def url(self) -> str:
        """Return ``https://127.0.0.1:PORT``. Raises RuntimeError before the start."""
        if not self._url:
            raise RuntimeError("the server has not started yet")
        return self._url

    @property
    def ca(self) -> str:
        """Return the certificate authority as PEM text."""
        return self._certificate.certificate

    def put(self, obj: JsonObject) -> JsonObject:
        """Store a new object, status included, without HTTP: before the start, or in the server's loop.

        Raises:
            StatusError: unknown kind, no such namespace, invalid object, or the name is taken.
        """
        version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        endpoint = self._cluster.registry.find_kind(version, kind)
        if endpoint is None:
            raise bad_request(f'no matches for kind "{kind}" in version "{version}"')
        namespace = (obj.get("metadata") or {}).get("namespace") or "default"
        options = WriteOptions(manager="localkube", field_validation="Strict")
        return writing.create(self._cluster, endpoint, namespace, obj, options, keep_status=True)

    def add_log_source(self, node: str, source: LogSource) -> None:
        """Read the logs of the pods on a node from ``source``."""
        self._logs[node] = source

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._loop = asyncio.get_running_loop()
        self._app = ApiApp(self._cluster, self.users, self.recorder, self.faults, self._logs)
        runner = web.AppRunner(
            self._app.application(), access_log=None, handle_signals=False, shutdown_timeout=_STOP_SECONDS
        )
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, self.options.host, self.options.port, ssl_context=self._certificate.ssl_context())
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            self._runner = None
            raise
        port = runner.addresses[0][1]
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        self._url = f"https://{host}:{port}"

    async def stop(self) -> None:
        """End all streams and stop listening. A second call does nothing."""
        if self._runner is None or self._app is None:
            return
        self._app.stopping.set()
        await self._runner.cleanup()
        self._runner = None

    def kubeconfig(self, token: str = "") -> JsonObject:
        """Return a kubeconfig with one context, ``localkube``, for the administrator or whose token it is."""
        authority = base64.b64encode(self.ca.encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "localkube", "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "localkube", "user": {"token": token or self.token}}],
            "contexts": [
                {"name": "localkube", "context": {"cluster": "localkube", "user": "localkube", "namespace": "default"}}
            ],
            "current-context": "localkube",
        }

    def write_kubeconfig(self, path: Path, token: str = "") -> None:
        """Write the kubeconfig (JSON, which is YAML) for the owner only, in one step. Raises OSError."""
        path = Path(path)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.kubeconfig(token), file, indent=2)
        draft.replace(path)

    def _defer(self, function: Callable[[], object]) -> None:
        if self._loop is None:
            function()
        else:
            self._loop.call_soon(function)
