# SPDX-License-Identifier: Apache-2.0
"""Files that the command line writes: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step: an interruption leaves the old one, never a half.

    Raises:
        OSError: it can't be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # /dev/null, a pipe, a folder (which says so itself)
        path.write_text(text, encoding="utf-8")
        return
    draft = path.with_name(f".{path.name[:60]}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
