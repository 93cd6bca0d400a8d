# SPDX-License-Identifier: Apache-2.0
"""The functions that this machine's workers can run, and their types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from accelchain.api import FunctionType
from accelchain.cli.errors import Refused
from accelchain_runtime.registry import FunctionFolder, ManifestError, find


def function_folders(folders: Sequence[str] = ()) -> list[FunctionFolder]:
    """Return the installed functions, those of ``folders`` first.

    Raises:
        Refused: a folder does not exist, or a manifest can't be read.
    """
    paths = [Path(folder).resolve() for folder in folders]
    for path in paths:
        if not path.is_dir():
            raise Refused(f"--functions {path}: there is no such folder.")
    try:
        return find(paths)
    except ManifestError as error:
        raise Refused(str(error)) from None


def function_types(folders: Sequence[str] = ()) -> list[FunctionType]:
    """Return the types of the installed functions.

    Raises:
        Refused: a manifest is no valid FunctionType.
    """
    types = []
    for found in function_folders(folders):
        try:
            types.append(FunctionType.model_validate(found.manifest))
        except ValidationError as error:
            first = error.errors()[0]
            raise Refused(f"{found.folder}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return types
