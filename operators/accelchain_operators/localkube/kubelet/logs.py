# SPDX-License-Identifier: Apache-2.0
"""A pod's log file, read and followed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 65536
POLL_SECONDS = 0.05
"""How often a followed file is looked at; nobody looks while nobody follows."""


async def read_log(path: Path, ended: asyncio.Event, *, follow: bool, tail_lines: int | None) -> AsyncIterator[bytes]:
    """Yield the bytes of a log.

    Args:
        path: the file.
        ended: set when nothing more will be written.
        follow: go on until ``ended``.
        tail_lines: begin so many lines before the end; None: at the beginning.
    """
    with path.open("rb") as stream:
        if tail_lines is not None:
            stream.seek(tail_offset(stream, tail_lines))
        while True:
            # Asked before reading: what was written before the end is read after it.
            last = ended.is_set()
            while part := stream.read(CHUNK):
                yield part
            if last or not follow:
                return
            await asyncio.sleep(POLL_SECONDS)


def tail_offset(stream: BinaryIO, lines: int) -> int:
    """Return where the last ``lines`` lines begin, in bytes; a last line without end counts."""
    end = stream.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    position, text = end, b""
    while position > 0:
        size = min(CHUNK, position)
        position -= size
        stream.seek(position)
        text = stream.read(size) + text
        body = text[:-1] if text.endswith(b"\n") else text
        starts = body.count(b"\n")
        if starts >= lines:
            cut = len(body)
            for _ in range(lines):
                cut = body.rindex(b"\n", 0, cut)
            return position + cut + 1
    return 0
