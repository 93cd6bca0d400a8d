# SPDX-License-Identifier: Apache-2.0
"""``GET .../pods/NAME/log``: the log as the node's kubelet reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from accelchain_operators.kube.client import ApiError
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.errors import StatusError, bad_request
from accelchain_operators.localkube.logs import LogSource
from accelchain_operators.localkube.objects import JsonObject, lookup
from accelchain_operators.localkube.web.request_info import RequestInfo, flag
from accelchain_operators.localkube.web.resource_handlers import find_endpoint

_UNSUPPORTED = ("previous", "timestamps", "sinceSeconds", "sinceTime")


async def serve_log(
    cluster: Cluster,
    sources: Mapping[str, LogSource],
    request: web.Request,
    info: RequestInfo,
    stopping: asyncio.Event,
) -> web.StreamResponse:
    """Stream a log until it ends, the reader leaves or the server stops. Raises StatusError before the first byte."""
    pod = cluster.get(find_endpoint(cluster, info), info.namespace, info.name)
    query = request.query
    container = _container(pod, query.get("container", ""))
    node = lookup(pod, "spec", "nodeName")
    source = sources.get(node) if node else None
    if source is None:
        why = f'node "{node}" serves no logs' if node else f"pod {info.name} does not have a host assigned"
        raise bad_request(f'container "{container}" in pod "{info.name}" has no log: {why}')
    for name in _UNSUPPORTED:
        if query.get(name) not in (None, "", "false", "0"):
            raise bad_request(f"the log option {name} is not supported by this server")
    tail = query.get("tailLines")
    follow = bool(flag(query, "follow"))
    chunks = source(info.namespace, info.name, container, follow, int(tail) if tail and tail.isdigit() else None)
    limit = query.get("limitBytes", "")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await _stream(chunks, response, request, stopping, int(limit) if limit.isdigit() else None)
    return response


def _container(pod: JsonObject, name: str) -> str:
    names = [c["name"] for c in lookup(pod, "spec", "containers") or []]
    if not name and len(names) != 1:
        raise bad_request(
            f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: {names}"
        )
    if name and name not in names:
        raise bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
    return name or str(names[0])


async def _stream(
    chunks: AsyncIterator[bytes],
    response: web.StreamResponse,
    request: web.Request,
    stopping: asyncio.Event,
    limit: int | None,
) -> None:
    iterator = aiter(chunks)
    stop = asyncio.ensure_future(stopping.wait())
    pending: asyncio.Future[bytes] | None = None
    try:
        while limit is None or limit > 0:
            pending = asyncio.ensure_future(anext(iterator))
            if not response.prepared and flag(request.query, "follow"):
                # the reader of a silent log must learn that it is connected
                done, _ = await asyncio.wait({pending}, timeout=0.05)
                if not done:
                    await response.prepare(request)
            await asyncio.wait({pending, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not pending.done():
                return
            try:
                chunk = pending.result()
            except StopAsyncIteration:
                if not response.prepared:
                    await response.prepare(request)
                return
            except ApiError as error:
                raise StatusError(error.code, error.reason, error.message) from None
            if not response.prepared:
                await response.prepare(request)
            await response.write(chunk if limit is None else chunk[:limit])
            limit = None if limit is None else limit - len(chunk)
    except ConnectionResetError:
        pass  # the reader has left, as readers of a followed log do
    finally:
        stop.cancel()
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.wait({pending})
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
