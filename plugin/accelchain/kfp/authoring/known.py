# SPDX-License-Identifier: Apache-2.0
"""The functions that are installed on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelchain.kfp.authoring.errors import AuthoringError

if TYPE_CHECKING:
    from accelchain.api.function_type import FunctionType

Manifest = dict[str, Any]
Folder = str | Path


def manifests(folders: Sequence[Folder] = ()) -> tuple[Manifest, ...]:
    """Return the manifests of the functions in these folders, in ``ACCELCHAIN_FUNCTIONS``, by entry points, built in.

    Args:
        folders: function folders, or folders of function folders.

    Raises:
        AuthoringError: a manifest can't be read.
    """
    given = (folders,) if isinstance(folders, str | Path) else folders
    return _manifests(tuple(str(folder) for folder in given), os.environ.get("ACCELCHAIN_FUNCTIONS", ""))


def types(folders: Sequence[Folder] = ()) -> tuple[FunctionType, ...]:
    """Return the same as ``manifests``, as models.

    Raises:
        AuthoringError: a manifest can't be read, or is no FunctionType.
    """
    from pydantic import ValidationError

    from accelchain.api.function_type import FunctionType  # here: the models take longer to import than all the rest

    try:
        return tuple(FunctionType.model_validate(manifest) for manifest in manifests(folders))
    except ValidationError as error:
        raise AuthoringError(f"the installed functions can't be read: {error}") from error


def manifest_at(path: Path) -> Manifest:
    """Return the manifest that a function's folder holds, or that is this file.

    Raises:
        AuthoringError: it can't be read.
    """
    from accelchain_runtime.registry import ManifestError, read

    try:
        return read(path if path.is_dir() else path.parent).manifest
    except ManifestError as error:
        raise AuthoringError(f"the function can't be read: {error}") from error


def function_name(manifest: Manifest) -> str:
    """Return the function's name, which several versions share."""
    return str(manifest["spec"].get("function") or manifest["metadata"]["name"])


def replacing(names: Collection[str]) -> str | None:
    """Return the installed function that stands for one of these images or components' names, if there is one."""
    for manifest in manifests():
        if not set(names).isdisjoint(manifest["spec"].get("replaces") or ()):
            return function_name(manifest)
    return None


@lru_cache(maxsize=16)
def _manifests(folders: tuple[str, ...], _variable: str) -> tuple[Manifest, ...]:
    from accelchain_runtime.registry import ManifestError, find

    try:
        return tuple(found.manifest for found in find([Path(folder) for folder in folders]))
    except ManifestError as error:
        raise AuthoringError(f"the functions can't be read: {error}") from error
