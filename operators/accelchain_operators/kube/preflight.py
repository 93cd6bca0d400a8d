# SPDX-License-Identifier: Apache-2.0
"""What is looked at before operators begin: that the API answers, and knows our kinds as this version needs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from accelchain.api.common import API_VERSION, GROUP, VERSION
from accelchain.api.crd import crds
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.separation import FOREIGN

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that an API gets to answer: it may be starting, as we are."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
PUBLISHING = 3.0
"""Seconds within which a server tells of CRDs that were changed just now."""
_NAMED = 3
"""Missing fields that a message names."""


class PreflightError(Exception):
    """Operators can't work with this API. The message says what to do."""


async def until_it_answers(client: HttpClient, patience: float = PATIENCE) -> None:
    """Wait for the API.

    Raises:
        PreflightError: it did not answer in time.
        ApiError: it answered and refused.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience, FIRST_PAUSE
    while True:
        try:
            await client.document("/version")
            return
        except ApiError as error:
            if not error.transient:
                raise
            if loop.time() + pause > deadline:
                raise PreflightError(f"{error.message}; tried for {patience:.0f} s") from error
            logger.warning("%s; trying again in %.1f s", error.message, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def check_kinds(client: HttpClient, patience: float = PUBLISHING) -> None:
    """Compare the kinds that are served with those of this version.

    Only discovery and the published schema are read: every service account may.

    Raises:
        PreflightError: CRDs are missing, or older than this version.
        ApiError: the API does not answer.
    """
    needed = {crd["spec"]["names"]["kind"]: crd for crd in crds()}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    if missing := await _missing(client, needed):
        raise PreflightError(f"the CRDs of accelchain are not installed: {', '.join(missing)}; apply manifests/crds")
    while lacking := await _lacking(client, needed):
        if loop.time() > deadline:
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            raise PreflightError(
                f"the CRDs of accelchain are older than these operators: {', '.join(lacking[:_NAMED])}{more}"
                " unknown to the API; apply manifests/crds of this version"
            )
        await asyncio.sleep(FIRST_PAUSE)


async def check_foreign_kinds(client: HttpClient, controllers: Iterable[str]) -> None:
    """Look for the kinds of others that some controllers can't do without.

    Raises:
        PreflightError: the cluster does not have them.
        ApiError: the API does not answer.
    """
    for controller in controllers:
        for type in FOREIGN.get(controller, ()):
            if type.plural not in await _served(client, type.api_version):
                group = type.api_version.rpartition("/")[0]
                raise PreflightError(
                    f"the controller {controller} needs Argo Workflows, and this cluster has no {type.plural}.{group}: "
                    f"install Argo Workflows, or leave {controller} out of --controllers (argo.taskset.enabled=false)"
                )


async def _served(client: HttpClient, api_version: str) -> set[str]:
    try:
        document = await client.document(f"/apis/{api_version}")
    except ApiError as error:
        if error.code != 404:
            raise
        return set()
    return {resource["name"] for resource in document.get("resources") or ()}


async def _missing(client: HttpClient, needed: Mapping[str, JsonObject]) -> list[str]:
    try:
        served = await client.document(f"/apis/{API_VERSION}")
    except ApiError as error:
        if error.code != 404:
            raise
        served = {}
    kinds = {resource["kind"] for resource in served.get("resources") or ()}
    return [crd["metadata"]["name"] for kind, crd in needed.items() if kind not in kinds]


async def _lacking(client: HttpClient, needed: Mapping[str, JsonObject]) -> list[str]:
    published = _published(await client.document(f"/openapi/v3/apis/{API_VERSION}"))
    return [
        f"{kind}.{path}"
        for kind, crd in needed.items()
        for path in missing_fields(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], published.get(kind, {}))
    ]


def _published(document: JsonObject) -> dict[str, JsonObject]:
    """Return the schemas of our kinds from an OpenAPI document."""
    found = {}
    for schema in document["components"]["schemas"].values():
        for kind in schema.get("x-kubernetes-group-version-kind") or ():
            if (kind["group"], kind["version"]) == (GROUP, VERSION):
                found[kind["kind"]] = schema
    return found


def missing_fields(needed: Mapping[str, Any], served: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of fields that a schema has and another lacks; below a field that is lacking none is named."""
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return
    known = served.get("properties") or {}
    for name, schema in (needed.get("properties") or {}).items():
        here = f"{path}.{name}" if path else name
        if here == "metadata":
            continue
        if name not in known:
            yield here
        else:
            yield from missing_fields(schema, known[name], here)
    for below in ("items", "additionalProperties"):
        if isinstance(needed.get(below), Mapping) and isinstance(served.get(below), Mapping):
            yield from missing_fields(needed[below], served[below], f"{path}[]")
