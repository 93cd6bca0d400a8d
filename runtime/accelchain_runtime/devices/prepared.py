# SPDX-License-Identifier: Apache-2.0
"""A cache that begins with what an image brings: compiled kernels and folded weights that may only be read."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

log = logging.getLogger("cache")

WRITTEN = "pocl"
"""PoCL notes beside its kernels when it used them, so its part is copied; other files are read or replaced whole."""
_MARK = ".base"


def begin_with(base: Path, cache: Path) -> None:
    """Let ``cache`` hold all that ``base`` holds, once; what it has already is kept.

    Several processes may do so at one time. A cache that can't be written, or a base that is not there, costs the time
    to compile, so it is a warning, not an error.
    """
    mark = cache / _MARK
    if os.path.lexists(mark):
        return
    try:
        if not base.is_dir():
            raise FileNotFoundError(f"{base} is no folder")
        for folder, _, names in os.walk(base):
            target = cache / Path(folder).relative_to(base)
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                _take(Path(folder, name), target / name, copy=target.is_relative_to(cache / WRITTEN))
        with contextlib.suppress(FileExistsError):
            mark.symlink_to(base)
    except OSError as error:
        log.warning("the cache %s does not begin with ACCELCHAIN_CACHE_BASE: %s", cache, error)


def _take(source: Path, target: Path, *, copy: bool) -> None:
    if target.exists():
        return
    if not copy:
        with contextlib.suppress(FileExistsError):  # another process was faster
            target.symlink_to(source)
        return
    descriptor, temporary = tempfile.mkstemp(dir=target.parent)
    os.close(descriptor)
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
