# SPDX-License-Identifier: Apache-2.0
"""What a type checker sees. Checked by test_types.py, never run: each ``reveal_type`` is followed by what it shows."""

from __future__ import annotations

from typing import NamedTuple, reveal_type

import numpy as np

from accelchain.hera import Address, Chain, Detections, Frames, PortType, Stream, Video, accelerated
from accelchain.hera.functions import decode_video, detect_person, draw_boxes, encode_video, filter_resize


class Masks(Stream):
    port = PortType("masks", "float32", ("height", "width"))


class Parts(NamedTuple):
    people: Detections
    masks: Masks


@accelerated("segment")
def segment(frames: Frames, level: float = 0.5) -> Parts:
    people = np.zeros((len(frames), 100, 6), np.float32)
    return Parts(Detections(people), Masks(frames[..., 0] / 255))


with Chain("typed") as chain:
    reveal_type(chain.input("video"))  # Video
    reveal_type(chain.output("small"))  # Address
    reveal_type(chain.parameter("width", int))  # int
    reveal_type(chain.parameter("level", default=0.5))  # float
    frames = decode_video(chain.input("video"))
    reveal_type(frames)  # Frames
    reveal_type(segment(frames).masks)  # Masks
    reveal_type(frames >> filter_resize.using(width=300, height=300))  # Frames
    reveal_type(frames >> detect_person)  # Detections
    found = detect_person(frames)
    reveal_type((frames, found) >> draw_boxes)  # Frames
    reveal_type(filter_resize.options(device_types=["gpu"])(frames, width=1, height=1))  # Frames

    detect_person(found)  # error: arg-type
    filter_resize(frames, width="wide", height=1)  # error: arg-type
    filter_resize(frames, width=1)  # error: call-arg
    filter_resize(frames, width=1, height=1, filter="blur")  # error: arg-type
    found >> detect_person  # error: operator
    found >> filter_resize.using(width=1, height=1)  # error: operator
    encode_video.options(device_types=["tpu"])  # error: list-item

address: Address = Video("s3://videos/a.mp4")
