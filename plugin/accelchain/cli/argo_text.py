# SPDX-License-Identifier: Apache-2.0
"""Files with Argo's documents: read, and written where ``-o`` and its like say."""

from __future__ import annotations

import sys
from pathlib import Path

from accelchain.cli.errors import Refused
from accelchain.cli.files import write_whole
from accelchain.cli.terminal import out


def read_text(file: str) -> str:
    """Return a file's text; ``-`` is standard input.

    Raises:
        Refused: it can't be read, or is no text.
    """
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode("utf-8")
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}; give the path of a YAML file.") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: this is no text file; give the path of a YAML file.") from None


def write_text(path: str, option: str, text: str) -> None:
    """Write a text to a file, ``-`` being standard output.

    Args:
        path: the file.
        option: the one that named it.
        text: what it is to hold.

    Raises:
        Refused: it can't be written.
    """
    if path == "-":
        out(text.rstrip("\n"))
        return
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise Refused(f"{option} {path}: {error.strerror}; give a file that can be written.") from None
