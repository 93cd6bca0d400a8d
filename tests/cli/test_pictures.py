# SPDX-License-Identifier: Apache-2.0
"""Frames of a result for the report, from short videos and from long ones."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from accelchain.cli.pictures import pictures

av = pytest.importorskip("av")
numpy = pytest.importorskip("numpy")


@pytest.mark.parametrize("count", [100, 700])
def test_frames_are_spread_over_the_video_and_are_those_that_they_say(tmp_path: Path, count: int) -> None:
    from PIL import Image

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "50"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            grey = numpy.full((48, 64, 3), number * 250 // count, numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode(None))
    found = pictures(path)
    assert len(found) == 6
    assert 0 <= found[0].frame < count / 3 and count * 2 / 3 < found[-1].frame < count
    for each in found:
        assert each.seconds == pytest.approx(each.frame / 25)
        image = Image.open(io.BytesIO(base64.b64decode(each.data_uri.partition(",")[2])))
        assert numpy.asarray(image).mean() == pytest.approx(each.frame * 250 / count, abs=4)
