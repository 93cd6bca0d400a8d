# SPDX-License-Identifier: Apache-2.0
"""What a pod finds when it starts: files of its volumes, its environment, its arguments. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from accelchain_operators.localkube.kubelet.podspec import (
    FileSource,
    JsonObject,
    Reference,
    WorkerSpec,
    default_mode,
    file_sources,
)

Objects = Mapping[tuple[str, str], JsonObject]
"""ConfigMaps and Secrets by (kind, name)."""

_VARIABLE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")
_LABEL = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ContentError(Exception):
    """An object or key that the pod needs is missing or unusable. It may appear: the kubelet tries again."""


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """A file of a volume."""

    volume: str
    path: str
    """Relative to the volume's folder, without ``..``."""
    data: bytes
    mode: int
    """Owner's bits only: nobody else on a laptop reads a pod's files."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """What fields of the pod may be asked for by ``fieldRef``."""

    pod: JsonObject
    ip: str
    host_ip: str


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as Kubernetes does: unknown names stay, ``$$`` is one ``$``."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] else variables.get(match[2], match[0])

    return _VARIABLE.sub(value, text)


def files(spec: WorkerSpec, objects: Objects) -> Iterator[VolumeFile]:
    """Yield the files of all ConfigMap, Secret and projected volumes.

    Raises:
        ContentError: an object or key is missing, or a path leaves the volume.
    """
    for volume in spec.volumes:
        made: dict[str, VolumeFile] = {}  # of two sources of a projected volume the later one counts
        for source in file_sources(volume):
            for file in _files_of(volume, source, objects):
                made[file.path] = file
        yield from made.values()


def _files_of(volume: JsonObject, source: FileSource, objects: Objects) -> Iterator[VolumeFile]:
    reference = source.reference
    data = _data(reference, objects)
    items: Sequence[JsonObject] = source.items or [{"key": key, "path": key} for key in sorted(data)]
    for item in items:
        if item["key"] not in data:
            if reference.optional:
                continue
            raise _missing_key(reference, item["key"])
        path = PurePosixPath(item["path"])
        if path.is_absolute() or ".." in path.parts:
            raise ContentError(f'volume "{volume["name"]}": path "{item["path"]}" leaves the volume')
        mode = item.get("mode", default_mode(volume))
        yield VolumeFile(volume["name"], str(path), data[item["key"]], mode & 0o700)


def environment(spec: WorkerSpec, identity: PodIdentity, objects: Objects) -> dict[str, str]:
    """Return the container's variables, expanded in order.

    Raises:
        ContentError: a key is missing, or a field is not offered.
    """
    variables: dict[str, str] = {}
    for variable in spec.env:
        source = variable.get("valueFrom")
        if source is None:
            variables[variable["name"]] = expand(variable.get("value", ""), variables)
            continue
        value = _value_from(source, identity, objects)
        if value is not None:
            variables[variable["name"]] = value
    return variables


def mapped(text: str, paths: Sequence[tuple[str, Path]]) -> str:
    """Return ``text`` with a container's path replaced by the path on this machine.

    A path counts where it is the whole text or its head, or follows the ``=`` of ``--option=PATH``.

    Args:
        text: an argument or the value of a variable.
        paths: (path in the container, path here); the longest that fits wins.
    """
    head, text = _option(text)
    fitting = [pair for pair in paths if text == pair[0] or text.startswith(f"{pair[0]}/")]
    if not fitting:
        return head + text
    inside, here = max(fitting, key=lambda pair: len(pair[0]))
    return f"{head}{here}{text[len(inside) :]}"


def _option(text: str) -> tuple[str, str]:
    if text.startswith("--") and "=" in text:
        name, _, value = text.partition("=")
        return f"{name}=", value
    return "", text


def _value_from(source: JsonObject, identity: PodIdentity, objects: Objects) -> str | None:
    if field := source.get("fieldRef"):
        return _field(field["fieldPath"], identity)
    if key := source.get("configMapKeyRef"):
        reference = Reference("ConfigMap", key["name"], bool(key.get("optional")))
    elif key := source.get("secretKeyRef"):
        reference = Reference("Secret", key["name"], bool(key.get("optional")))
    else:
        raise ContentError(f"valueFrom: {', '.join(source)} is not supported on a laptop")
    data = _data(reference, objects)
    if key["key"] in data:
        return data[key["key"]].decode()
    if reference.optional:
        return None
    raise _missing_key(reference, key["key"])


def _field(path: str, identity: PodIdentity) -> str:
    meta = identity.pod["metadata"]
    spec = identity.pod["spec"]
    fields: dict[str, Any] = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": identity.ip,
        "status.podIPs": identity.ip,
        "status.hostIP": identity.host_ip,
    }
    if path in fields:
        return str(fields[path])
    if match := _LABEL.fullmatch(path):
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    raise ContentError(f'fieldRef: "{path}" is not offered; known are {", ".join(fields)}')


def _data(reference: Reference, objects: Objects) -> dict[str, bytes]:
    obj = objects.get((reference.kind, reference.name))
    if obj is None:
        if reference.optional:
            return {}
        raise ContentError(f'{reference.kind} "{reference.name}" not found in the namespace of the pod')
    if reference.kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def _missing_key(reference: Reference, key: str) -> ContentError:
    return ContentError(f'{reference.kind} "{reference.name}" has no key "{key}"')
