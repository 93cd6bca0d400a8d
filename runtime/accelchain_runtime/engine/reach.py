# SPDX-License-Identifier: Apache-2.0
"""What a plan's functions may open, and with which credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol


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
class Reach:
    """All that the functions of a plan may touch outside their process."""

    confined: bool = False
    """Files only in ``volumes``, network only to public addresses and what ``allow`` names. Else: as the user may."""
    volumes: tuple[Volume, ...] = ()
    credentials: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """Folder of a mounted Secret by the exact ``uri`` of a function."""
    allow: tuple[str, ...] = ()
    """``host``, ``host:port``, address, or network in CIDR form, with or without a port."""


class _Volume(Protocol):
    @property
    def mount_path(self) -> str: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def environment(self) -> str: ...


class _Credentials(Protocol):
    @property
    def uri(self) -> str: ...
    @property
    def folder(self) -> str: ...


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
    credentials = MappingProxyType({each.uri: folder(each.folder) for each in plan.credentials})
    return Reach(plan.confined, volumes, credentials, tuple(plan.allow))
