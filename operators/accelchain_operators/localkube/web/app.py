# SPDX-License-Identifier: Apache-2.0
"""The HTTP application: who asks, what for, what goes wrong on purpose, and which handler answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import NoSuchPageError, StatusError, method_not_allowed
from accelchain_operators.localkube.faults import Fault, Faults
from accelchain_operators.localkube.logs import LogSource
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.recorder import Recorded, Recorder
from accelchain_operators.localkube.resources import discovery, openapi
from accelchain_operators.localkube.users import ADMIN, User, Users, service_account
from accelchain_operators.localkube.web import authorization, bodies, resource_handlers
from accelchain_operators.localkube.web.pod_logs import serve_log
from accelchain_operators.localkube.web.port_forward import serve_port_forward
from accelchain_operators.localkube.web.request_info import RequestInfo, request_info
from accelchain_operators.localkube.web.reviews import review, review_kind

_log = logging.getLogger(__name__)
_OPEN = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0+localkube",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
MOST_BYTES = 3 * 1024 * 1024
"""Of a request's body, as etcd and the API server together allow."""


class ApiApp:
    """Answers every request."""

    def __init__(
        self, cluster: Cluster, users: Users, recorder: Recorder, faults: Faults, logs: Mapping[str, LogSource]
    ) -> None:
        self._cluster = cluster
        self._users = users
        self._recorder = recorder
        self._faults = faults
        self._logs = logs
        self.stopping = asyncio.Event()
        """Set when the server stops: streams end."""

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        info = request_info(request.method, request.rel_url.raw_path, request.query)
        fault: Fault | None = None
        user: User | None = None
        try:
            if info.path not in _OPEN:
                user = self._authenticate(request)
                authorization.check(self._cluster, user, info)
            fault = self._faults.take(info)
            if fault is not None and fault.latency:
                await asyncio.sleep(fault.latency)
            error = fault.error() if fault is not None and info.verb != "watch" else None
            if error is not None and fault is not None and not fault.after_write:
                raise error
            response = await self._route(request, info, fault, user or ADMIN)
            if error is not None:
                raise error
        except StatusError as error:
            response = bodies.error_answer(error)
        except NoSuchPageError:
            response = web.Response(status=404, text="404 page not found\n")
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception:
            # the API must go on; the client gets what a real server would send, and the log tells the rest
            _log.exception("%s %s failed", request.method, request.rel_url)
            response = bodies.error_answer(StatusError(500, "InternalError", "an error on the server: see its log"))
        self._record(request, info, response.status, user.name if user is not None else "")
        return response

    def _authenticate(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = self._users.find(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise StatusError(401, "Unauthorized", "Unauthorized")
        return user

    def _record(self, request: web.Request, info: RequestInfo, code: int, user: str) -> None:
        if info.resource:
            agent = request.headers.get("User-Agent", "")
            manager = resource_handlers.manager_of(request)
            self._recorder.add(
                Recorded(info.verb, info.group, info.resource, info.subresource, info.namespace,
                         info.name or info.selected, agent, manager, code, user)
            )  # fmt: skip

    async def _route(
        self, request: web.Request, info: RequestInfo, fault: Fault | None, user: User
    ) -> web.StreamResponse:
        if info.resource:
            if (kind := review_kind(info)) is not None:
                if info.verb != "create":
                    raise method_not_allowed(info.verb)
                return bodies.answer(
                    review(kind, await bodies.read_body(request), self._cluster, self._users, user), 201
                )
            if (info.group, info.resource, info.subresource, info.verb) == ("", "serviceaccounts", "token", "create"):
                return bodies.answer(self._new_token(info, await bodies.read_body(request)), 201)
            if info.verb == "watch":
                stream = resource_handlers.watch(self._cluster, request, info, fault)
                return await stream.run(request, self.stopping)
            if (info.group, info.resource, info.subresource, info.verb) == ("", "pods", "log", "get"):
                return await serve_log(self._cluster, self._logs, request, info, self.stopping)
            if (info.group, info.resource, info.subresource, info.verb) == ("", "pods", "portforward", "get"):
                return await serve_port_forward(self._cluster, request, info, user, self.stopping)
            return await resource_handlers.handle(self._cluster, request, info, user)
        if info.verb != "get":
            raise method_not_allowed(request.method)
        return self._document(request, info.path.rstrip("/"))

    def _new_token(self, info: RequestInfo, body: Any) -> JsonObject:
        """Answer a TokenRequest. The token is good until the server stops, whatever was asked for."""
        endpoint = resource_handlers.find_endpoint(self._cluster, info)
        self._cluster.get(endpoint, info.namespace, info.name)
        token = self._users.add(service_account(info.namespace, info.name))
        given = body if isinstance(body, dict) else {}
        return {**given, "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "status": {"token": token, "expirationTimestamp": "2999-01-01T00:00:00Z"}}  # fmt: skip

    def _document(self, request: web.Request, path: str) -> web.Response:
        if path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        if path == "/version":
            return bodies.answer(VERSION)
        if path in ("/api", "/apis") and bodies.wants_aggregated(request.headers):
            found = discovery.aggregated(self._cluster.registry, core=path == "/api")
            return bodies.answer(found, media=bodies.AGGREGATED)
        document = self._find_document(request, path)
        if document is None:
            raise NoSuchPageError
        return bodies.answer(document)

    def _find_document(self, request: web.Request, path: str) -> JsonObject | None:
        registry = self._cluster.registry
        match path.strip("/").split("/"):
            case [""]:
                return {
                    "paths": [
                        "/api",
                        "/apis",
                        "/healthz",
                        "/livez",
                        "/openapi/v2",
                        "/openapi/v3",
                        "/readyz",
                        "/version",
                    ]
                }
            case ["api"]:
                return discovery.api_versions(request.host)
            case ["apis"]:
                return discovery.api_group_list(registry)
            case ["api", version]:
                return discovery.api_resource_list(registry, "", version)
            case ["apis", group]:
                versions = discovery.groups(registry).get(group) if group else None
                return discovery.api_group(group, versions) if versions else None
            case ["apis", group, version]:
                return discovery.api_resource_list(registry, group, version)
            case ["openapi", "v2"]:
                return openapi.swagger()
            case ["openapi", "v3"]:
                return openapi.root(registry)
            case ["openapi", "v3", "api", version]:
                return openapi.document(registry, "", version)
            case ["openapi", "v3", "apis", group, version]:
                return openapi.document(registry, group, version)
        return None
