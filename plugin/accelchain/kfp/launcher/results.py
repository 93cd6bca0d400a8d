# SPDX-License-Identifier: Apache-2.0
"""Copies of what a flow wrote to S3, for the report: frames with boxes, and detections a frame.

They are read as KFP's own launcher reads artifacts, with the rights of the task's pod (kubeflow/pipelines 2.17.0,
backend/src/v2/objectstore/object_store.go). A report without pictures is better than a task that fails for one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from accelchain.cli.pictures import VIDEO_SUFFIXES
from accelchain_operators.kube.client import ApiError, KubeClient
from accelchain_operators.kube.kinds import SECRET

JsonObject = dict[str, Any]

_MOST_BYTES: Final = 128 << 20
"""Of an artifact that is copied."""
_SECONDS: Final = 30.0
"""For all copies together."""
_ANSWER_SECONDS: Final = 5.0
_CHUNK: Final = 1 << 20
_DEFAULT_REGION: Final = "us-east-1"


class NoCopyError(Exception):
    """An artifact is not copied; the message says why."""


async def copies(client: KubeClient, flow: JsonObject, folder: Path, say: Callable[[str], None]) -> Mapping[str, Path]:
    """Return local copies of a flow's videos and detections in S3, by address.

    Args:
        client: reads the Secrets of the store.
        flow: one that has succeeded.
        folder: for the copies; whoever made it deletes it.
        say: told why there is no copy.
    """
    places = (flow.get("spec") or {}).get("outputs") or {}
    stores: dict[str, Any] = {}
    made: dict[str, Path] = {}
    deadline = time.monotonic() + _SECONDS
    for artifact in ((flow.get("status") or {}).get("outputs") or {}).get("artifacts") or ():
        name, uri = str(artifact["name"]), str(artifact["uri"])
        if not uri.startswith("s3://") or _suffix(uri) not in (*VIDEO_SUFFIXES, ".jsonl"):
            continue
        place = (places.get(name) or {}).get("s3") or {}
        key = json.dumps(place, sort_keys=True)  # results mostly lie in one store
        target = folder / f"{len(made)}{_suffix(uri)}"
        try:
            if key not in stores:
                keys = await _keys(client, flow["metadata"]["namespace"], place)
                stores[key] = await asyncio.to_thread(_store, place, keys)
            await asyncio.to_thread(_copy, stores[key], uri, target, deadline)
        except NoCopyError as error:
            say(f"the report does without {name}: {error}")
        else:
            made[uri] = target
    return made


def _suffix(uri: str) -> str:
    return PurePosixPath(urlsplit(uri).path).suffix.lower()


async def _keys(client: KubeClient, namespace: str, place: JsonObject) -> tuple[str, str] | None:
    """Return access key and secret key; None where the store is reached by the pod's own identity."""
    references = [place[key] for key in ("accessKeySecret", "secretKeySecret") if place.get(key)]
    if len(references) < 2:
        return None
    secrets: dict[str, JsonObject] = {}
    found = []
    for reference in references:
        name = reference["name"]
        try:
            if name not in secrets:  # mostly both keys are in one
                secrets[name] = await client.get(SECRET, name, namespace)
            found.append(base64.b64decode((secrets[name].get("data") or {})[reference["key"]]).decode())
        except ApiError as error:
            why = "may not be read" if error.code == 403 else "is not there" if error.code == 404 else str(error)
            raise NoCopyError(f"Secret {name} {why}") from None
        except (KeyError, ValueError):
            raise NoCopyError(f"Secret {name} has no good key {reference['key']}") from None
    return found[0], found[1]


def _store(place: JsonObject, keys: tuple[str, str] | None) -> Any:
    """Return botocore's client of a store; it connects to nothing yet.

    Raises:
        NoCopyError: there is no botocore, or the place is none.
    """
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise NoCopyError("this image has no botocore") from None
    endpoint = str(place.get("endpoint") or "")
    config = Config(
        connect_timeout=_ANSWER_SECONDS,
        read_timeout=_ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"} if endpoint else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return botocore.session.Session().create_client(
            "s3",
            region_name=place.get("region") or _DEFAULT_REGION,
            endpoint_url=f"{'http' if place.get('insecure') else 'https'}://{endpoint}" if endpoint else None,
            aws_access_key_id=keys[0] if keys else None,
            aws_secret_access_key=keys[1] if keys else None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise NoCopyError(f"{endpoint or 'the store'} can't be used ({str(error).rstrip('.')})") from None


def _copy(store: Any, uri: str, target: Path, deadline: float) -> None:
    """Copy an object.

    Raises:
        NoCopyError: it can't be had, is too large, or takes too long.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(uri)
    try:
        answer = store.get_object(Bucket=parts.netloc, Key=parts.path.removeprefix("/"))
        if answer["ContentLength"] > _MOST_BYTES:
            raise NoCopyError(f"it has {answer['ContentLength'] >> 20} MiB, {_MOST_BYTES >> 20} are the most")
        with target.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(_CHUNK):
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise NoCopyError(f"the store takes more than {_SECONDS:g} s")
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        raise NoCopyError(f"{uri} can't be read ({str(error).rstrip('.')})") from None
