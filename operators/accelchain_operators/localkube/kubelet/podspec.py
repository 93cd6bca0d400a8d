# SPDX-License-Identifier: Apache-2.0
"""What this kubelet needs of a Pod, and what it refuses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]

WORKER_IMAGE = "accelchain-worker"
"""Last part of the image's name that stands for the runtime's worker; registry, tag and digest are free."""
VOLUME_KINDS = ("configMap", "secret", "projected", "emptyDir", "hostPath")
PROJECTED_KINDS = ("configMap", "secret")
UNSUPPORTED = ("command", "envFrom", "lifecycle", "volumeDevices", "workingDir")
"""Fields of a container that would change what runs and are not acted on here."""


class RefusedError(Exception):
    """The pod cannot run here, now or later."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or Secret of the pod's namespace that must be read before the start."""

    kind: Literal["ConfigMap", "Secret"]
    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class FileSource:
    """An object whose keys become files of a volume."""

    reference: Reference
    items: tuple[JsonObject, ...]
    """``{key, path, mode?}``; empty: every key is a file of its name."""


def file_sources(volume: JsonObject) -> Iterator[FileSource]:
    """Yield the objects that a volume is filled from: one, or those of a projected volume in their order."""
    if "projected" in volume:
        for source in volume["projected"].get("sources") or ():
            for kind in PROJECTED_KINDS:
                if kind in source:
                    yield _file_source(kind, source[kind], "name")
    elif "configMap" in volume:
        yield _file_source("configMap", volume["configMap"], "name")
    elif "secret" in volume:
        yield _file_source("secret", volume["secret"], "secretName")


def default_mode(volume: JsonObject) -> int:
    """Return the mode of a volume's files that have none of their own."""
    kind = next(kind for kind in ("projected", *PROJECTED_KINDS) if kind in volume)
    mode: int = volume[kind].get("defaultMode", 0o644)
    return mode


def _file_source(kind: str, source: JsonObject, name: str) -> FileSource:
    reference = Reference("Secret" if kind == "secret" else "ConfigMap", source[name], bool(source.get("optional")))
    return FileSource(reference, tuple(source.get("items") or ()))


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume seen at a path of the container."""

    path: str
    volume: str
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A pod that this kubelet can run."""

    container: str
    image: str
    args: tuple[str, ...]
    env: tuple[JsonObject, ...]
    mounts: tuple[Mount, ...]
    volumes: tuple[JsonObject, ...]
    termination_path: str
    message_from_log: bool
    """terminationMessagePolicy FallbackToLogsOnError."""
    grace_seconds: float
    deadline_seconds: float | None

    def references(self) -> tuple[Reference, ...]:
        """Return the ConfigMaps and Secrets that volumes and variables name, each once."""
        return tuple(dict.fromkeys((*self._volume_references(), *self._variable_references())))

    def _volume_references(self) -> Iterator[Reference]:
        for volume in self.volumes:
            yield from (source.reference for source in file_sources(volume))

    def _variable_references(self) -> Iterator[Reference]:
        for variable in self.env:
            source = variable.get("valueFrom") or {}
            if key := source.get("configMapKeyRef"):
                yield Reference("ConfigMap", key["name"], bool(key.get("optional")))
            elif key := source.get("secretKeyRef"):
                yield Reference("Secret", key["name"], bool(key.get("optional")))


def read(pod: JsonObject) -> WorkerSpec:
    """Return what there is to run.

    Raises:
        RefusedError: this kubelet does not run such a pod; the message names the field.
    """
    spec = pod["spec"]
    containers = spec["containers"]
    if len(containers) != 1 or spec.get("initContainers"):
        raise _refusal("spec.containers: a pod here has exactly one container and no initContainers")
    container = containers[0]
    image = container.get("image", "")
    if image.rpartition("/")[2].partition("@")[0].partition(":")[0] != WORKER_IMAGE:
        raise RefusedError(
            "ErrImagePull",
            f'spec.containers[0].image: this kubelet has no container runtime and cannot pull "{image}"; '
            f"it runs worker pods only, as local processes (image {WORKER_IMAGE})",
        )
    for name in UNSUPPORTED:
        if container.get(name):
            raise _refusal(f"spec.containers[0].{name}: not supported for worker pods on a laptop; leave it out")
    if spec.get("restartPolicy", "Always") != "Never":
        raise _refusal("spec.restartPolicy: must be Never; the operator decides about another attempt")
    volumes = tuple(spec.get("volumes") or ())
    for index, volume in enumerate(volumes):
        if not any(kind in volume for kind in VOLUME_KINDS):
            raise _refusal(
                f'spec.volumes[{index}]: volume "{volume["name"]}" is of a kind that a laptop does not have; '
                f"use one of {', '.join(VOLUME_KINDS)}"
            )
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if not any(kind in source for kind in PROJECTED_KINDS):
                raise _refusal(
                    f"spec.volumes[{index}].projected.sources[{number}]: a laptop projects "
                    f"{' and '.join(PROJECTED_KINDS)} only"
                )
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if ".." in mount.get("subPath", "").split("/"):
            raise _refusal(f"spec.containers[0].volumeMounts[{index}].subPath: must stay inside the volume")
    deadline = spec.get("activeDeadlineSeconds")
    return WorkerSpec(
        container=container["name"],
        image=image,
        args=tuple(container.get("args") or ()),
        env=tuple(container.get("env") or ()),
        mounts=tuple(
            Mount(mount["mountPath"].rstrip("/"), mount["name"], mount.get("subPath", ""))
            for mount in container.get("volumeMounts") or ()
        ),
        volumes=volumes,
        termination_path=container.get("terminationMessagePath", "/dev/termination-log"),
        message_from_log=container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        grace_seconds=float(spec.get("terminationGracePeriodSeconds", 30)),
        deadline_seconds=None if deadline is None else float(deadline),
    )


def _refusal(message: str) -> RefusedError:
    return RefusedError("CreateContainerConfigError", message)
