# SPDX-License-Identifier: Apache-2.0
"""What a user's commands ask the API beside ``KubeClient``: sessions for WebSockets, and whether we get in at all."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp

from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.connection import Connection

_DEADLINE = 15.0


def open_session(connection: Connection) -> aiohttp.ClientSession:
    """Return a session for the API; whoever asks for it closes it.

    Raises:
        ConfigError: the certificates of the connection can't be used.
    """
    context = connection.ssl_context()
    connector = aiohttp.TCPConnector(limit=0, ssl=True if context is None else context)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    return aiohttp.ClientSession(connection.server, connector=connector, timeout=timeout)


async def discover(connection: Connection, api_version: str) -> frozenset[str]:
    """Return the plurals of the resources that the API serves of a group's version; empty where it has none of it.

    One call without repeats, so that a wrong address, certificate or token shows at once.

    Raises:
        ApiError: 401, 403, or no answer (code 0; reason ``Untrusted`` where the certificate is the cause).
        ConfigError: the certificates or the token of the connection can't be used.
    """
    async with open_session(connection) as session:
        try:
            async with (
                asyncio.timeout(_DEADLINE),
                session.get(f"/apis/{api_version}", headers=connection.headers()) as response,
            ):
                text = await response.text(errors="replace")
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(connection, error) from None
    if status == 404:
        return frozenset()
    if status >= 400:
        raise ApiError(status, response.reason or "", _message(text))
    try:
        return frozenset(str(resource["name"]) for resource in json.loads(text)["resources"])
    except (ValueError, KeyError, TypeError):
        raise ApiError(0, "Unreachable", f"{connection.server} is no Kubernetes API") from None


def unreachable(connection: Connection, error: Exception) -> ApiError:
    """Return why a server did not answer, as an error of code 0."""
    server = connection.server
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
        return ApiError(0, "Untrusted", f"the certificate of {server} can't be trusted: {why}")
    if isinstance(error, aiohttp.ClientSSLError):
        return ApiError(0, "Untrusted", f"no TLS connection to {server}: {error.os_error}")
    if isinstance(error, TimeoutError):
        return ApiError(0, "Unreachable", f"the Kubernetes API at {server} does not answer in time")
    return ApiError(0, "Unreachable", f"the Kubernetes API at {server} can't be reached: {error}")


def forbidden(verb: str, what: str) -> ApiError:
    """Return the error for a right that is missing, where the API's own words can't be read."""
    return ApiError(403, "Forbidden", f"you may not {verb} {what}")


def _message(text: str) -> str:
    try:
        status: JsonObject = json.loads(text)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
