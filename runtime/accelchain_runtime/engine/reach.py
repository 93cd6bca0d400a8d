# SPDX-License-Identifier: Apache-2.0
"""What a plan's functions may open, and with which credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

_AMAZON = "s3.amazonaws.com"


class ReachError(ValueError):
    """The plan and the process's environment don't fit together."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder that the plan opens."""

    mount: str
    """Where the DataFlow mounts it: absolute, without ``..``. Addresses are written with it."""
    folder: Path
    """Where it lies for this process; on a laptop not at ``mount``."""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is, told by the flow and not by its credentials."""

    endpoint: str = ""
    """http(s)://host:port; Amazon's where empty."""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """All that the functions of a plan may touch outside their process."""

    confined: bool = False
    """Files only in ``volumes``, network only to public addresses and what ``allow`` names. Else: as the user may."""
    volumes: tuple[Volume, ...] = ()
    credentials: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """Folder of a mounted Secret by the exact ``uri`` of a function."""
    allow: tuple[str, ...] = ()
    """``host``, ``host:port``, address, or network in CIDR form, with or without a port."""
    buckets: Mapping[str, Bucket] = field(default_factory=lambda: MappingProxyType({}))
    """Where the bucket is, by ``uri``; such an address is opened with its ``credentials`` or with none."""


class _Volume(Protocol):
    @property
    def mount_path(self) -> str: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def environment(self) -> str: ...


class _Bucket(Protocol):
    @property
    def endpoint(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def insecure(self) -> bool: ...


class _Credentials(Protocol):
    @property
    def uri(self) -> str: ...
    @property
    def folder(self) -> str | None: ...
    @property
    def s3(self) -> _Bucket | None: ...


class _Plan(Protocol):
    @property
    def confined(self) -> bool: ...
    @property
    def allow(self) -> Sequence[str]: ...
    @property
    def volumes(self) -> Sequence[_Volume]: ...
    @property
    def credentials(self) -> Sequence[_Credentials]: ...


def reach_of(plan: _Plan, environment: Mapping[str, str]) -> Reach:
    """What ``plan`` opens, with folders looked up in the process's environment.

    Raises:
        ReachError: a variable that the plan names is not set.
    """

    def folder(variable: str) -> Path:
        value = environment.get(variable, "")
        if not value.startswith("/"):
            raise ReachError(f"the plan names the environment variable {variable}, which holds no absolute path")
        return Path(value)

    volumes = tuple(Volume(each.mount_path, folder(each.environment), each.read_only) for each in plan.volumes)
    credentials = {each.uri: folder(each.folder) for each in plan.credentials if each.folder is not None}
    buckets = {each.uri: _bucket(each.s3) for each in plan.credentials if each.s3 is not None}
    return Reach(plan.confined, volumes, MappingProxyType(credentials), tuple(plan.allow), MappingProxyType(buckets))


def _bucket(place: _Bucket) -> Bucket:
    if place.endpoint in ("", _AMAZON):  # the region tells which of its hosts
        return Bucket("", place.region)
    return Bucket(f"{'http' if place.insecure else 'https'}://{place.endpoint}", place.region)
