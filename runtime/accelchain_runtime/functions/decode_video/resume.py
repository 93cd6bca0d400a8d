# SPDX-License-Identifier: Apache-2.0
"""Going on in a video at a frame's number, without decoding all that lies before it."""

from __future__ import annotations

from dataclasses import dataclass

from av.container import InputContainer
from av.video.stream import VideoStream

_ONE_PACKET_A_PICTURE = ("mov", "matroska")
"""Containers (the beginnings of FFmpeg's names) whose packets can be counted as pictures; others may hold fields."""
_REORDERED = 32
"""Pictures may come this much before others that are shown earlier; H.264 and HEVC allow half of it."""


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """A picture that decoding can begin at: none that comes after it is shown before it."""

    number: int
    time: int
    """Of presentation, in the stream's time base."""


def last_key_picture(container: InputContainer, stream: VideoStream, number: int) -> KeyPicture | None:
    """Find the last key picture at or before ``number``; packets are read and none decoded.

    Args:
        container: freshly opened; read some way by this.
        stream: of it.
        number: of a picture, in the order of presentation.

    Returns:
        None where there is none but the first picture, or where packets tell nothing sure.
    """
    if not container.format.name.startswith(_ONE_PACKET_A_PICTURE):
        return None
    found: KeyPicture | None = None
    candidate: KeyPicture | None = None
    count, latest = 0, None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None:
            return None
        if candidate is not None and packet.pts < candidate.time:
            candidate = None  # shown before it: it would be missing
        if packet.is_keyframe and count <= number and (latest is None or packet.pts > latest):
            found, candidate = candidate or found, KeyPicture(count, packet.pts)
        latest = packet.pts if latest is None else max(latest, packet.pts)
        count += 1
        if count > number + _REORDERED:
            break
    found = candidate or found
    return found if found is not None and found.number else None
