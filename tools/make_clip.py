# SPDX-License-Identifier: Apache-2.0
"""Make pipelines/person-detection/people.mp4: the first frames of OpenCV's sample vtest.avi, as H.264.

``apt-get install opencv-doc`` brings the original; then ``python tools/make_clip.py``. The clip is in the repository:
this script tells how it was made, and makes others. Its index comes first, so that what is left of a truncated copy can
be played.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av

ORIGINAL = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
CLIP = Path(__file__).parents[1] / "pipelines/person-detection/people.mp4"
FRAMES = 100
OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0", "g": "30"}
"""x264's settings: no B-frames and a key frame every 30, so that the clip can be cut and truncated anywhere."""


def make(original: Path, clip: Path, frames: int) -> int:
    """Encode the first ``frames`` pictures of ``original`` into ``clip`` and return how many there were."""
    count = 0
    with av.open(str(original)) as source, av.open(str(clip), "w", options={"movflags": "faststart"}) as target:
        video = source.streams.video[0]
        out = target.add_stream("libx264", rate=video.average_rate, options=OPTIONS)
        out.width, out.height, out.pix_fmt = video.width, video.height, "yuv420p"
        for picture in source.decode(video):
            if count == frames:
                break
            picture = picture.reformat(format="yuv420p")
            picture.pts, picture.time_base = count, 1 / video.average_rate
            picture.pict_type = av.video.frame.PictureType.NONE  # the encoder chooses key frames, not the original
            target.mux(out.encode(picture))
            count += 1
        target.mux(out.encode(None))
    return count


def main() -> None:
    """Read the command line and make the clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", type=Path, default=ORIGINAL)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--frames", type=int, default=FRAMES)
    options = parser.parse_args()
    count = make(options.original, options.clip, options.frames)
    print(f"{options.clip}: {count} frames, {options.clip.stat().st_size} bytes")


if __name__ == "__main__":
    main()
