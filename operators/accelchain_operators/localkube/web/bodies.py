# SPDX-License-Identifier: Apache-2.0
"""Bodies and headers: JSON in (YAML where Kubernetes takes it), JSON out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from accelchain_operators.localkube.api import patching
from accelchain_operators.localkube.errors import StatusError, bad_request, unsupported_media_type
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.web import protobuf

_JSON = ("application/json", patching.JSON, patching.MERGE, patching.STRATEGIC)
_YAML = ("application/yaml", patching.APPLY)
_DISCOVERY = "apidiscovery.k8s.io"


async def read_body(request: web.Request) -> Any:
    """Return the parsed body, None where there is none. Raises StatusError 400, 413, 415."""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"the request is larger than {request.client_max_size} bytes"
        raise StatusError(413, "RequestEntityTooLarge", message) from None
    if not raw:
        return None
    media = request.content_type
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(raw)
        except (protobuf.ProtobufError, UnicodeDecodeError) as error:
            raise unsupported_media_type(f"{media}: {error}", ["application/json", "application/yaml"]) from None
    if media not in (*_JSON, *_YAML, "application/octet-stream", "text/plain"):
        raise unsupported_media_type(media, ["application/json", "application/yaml"])
    try:
        return json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        if media not in _YAML:
            raise bad_request(f"the object provided is unrecognized (must be of type JSON): {error}") from None
    return _yaml(raw)


def _yaml(raw: bytes) -> Any:
    import yaml  # only `apply-patch+yaml` with real YAML needs it: clients send JSON

    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise bad_request(f"the object provided is unrecognized (must be of type YAML): {message}") from None


def encode(value: Any) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def answer(
    value: Any, code: int = 200, *, warnings: Iterable[str] = (), media: str = "application/json"
) -> web.Response:
    """Return a JSON response with Warning headers."""
    response = web.Response(body=encode(value), status=code, headers={"Content-Type": media})
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response


def error_answer(error: StatusError) -> web.Response:
    """Return the response of an error."""
    response = answer(error.status(), error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def wanted_form(headers: Mapping[str, str]) -> str:
    """Return what the client wants: ``Table``, ``PartialObjectMetadata`` (or its list) or empty: the object.

    Raises StatusError 406 where JSON is not accepted at all.
    """
    accepted = headers.get("Accept", "*/*") or "*/*"
    for part in accepted.split(","):
        media, *pairs = (piece.strip() for piece in part.split(";"))
        options = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if media in ("*/*", "application/*", "application/json"):
            form = options.get("as", "")
            if not form:
                return ""
            if options.get("g") == "meta.k8s.io" and options.get("v") in ("v1", "v1beta1"):
                return form.removesuffix("List")
    message = "only the following media types are accepted: application/json"
    raise StatusError(406, "NotAcceptable", message)


def wants_aggregated(headers: Mapping[str, str]) -> bool:
    """Whether the client reads aggregated discovery."""
    first = headers.get("Accept", "").split(",")
    return any(f"g={_DISCOVERY}" in part and "v=v2;" in part.replace(" ", "") + ";" for part in first)


AGGREGATED = f"application/json;g={_DISCOVERY};v=v2;as=APIGroupDiscoveryList"


def status_success(details: JsonObject) -> JsonObject:
    """Return the Status of a deletion that is done."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
