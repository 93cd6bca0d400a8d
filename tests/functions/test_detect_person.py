# SPDX-License-Identifier: Apache-2.0
"""detect-person: our kernels against onnxruntime on the same pictures, alone and with frames in flight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from accelchain_runtime.engine.function import InputError, SetupContext, TensorSpec
from accelchain_runtime.functions import detect_person
from accelchain_runtime.functions.detect_person.decode import anchors, decode
from accelchain_runtime.functions.detect_person.host import DetectPersonOnnxruntime
from accelchain_runtime.functions.detect_person.opencl import DetectPerson
from accelchain_runtime.functions.detect_person.pixels import Pixels
from accelchain_runtime.functions.detect_person.rows import Rows

CLIP = Path(__file__).parents[2] / "pipelines" / "person-detection" / "people.mp4"
FUNCTION_FOLDER = Path(detect_person.__file__).parent
CLIP_SIZE = (768, 576)
PICTURE = (300, 300, 3)
LAYOUTS = {"default": None, "rows of 8 floats": partial(Rows, narrow=True), "pixels": Pixels}

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """Frames 0, 15, 30 and 45 of the demo's clip, scaled for the network; people walk in each."""
    with av.open(str(CLIP)) as container:
        frames = [f.to_ndarray(format="rgb24") for f, _ in zip(container.decode(video=0), range(46), strict=False)]
    return [cv2.resize(frame, PICTURE[:2]) for frame in frames[::15]]


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, PICTURE, dtype=np.uint8)


def raw(run: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the OpenCL network itself gave for the last frame."""
    outputs = np.empty((1917, 4), np.float32), np.empty((1917, 2), np.float32)
    for buffer, array in zip(run.function.raw_outputs, outputs, strict=True):
        run.device.read(run.device.queue, buffer, array).wait()
    return outputs


def found(detections: np.ndarray) -> np.ndarray:
    """The rows up to the first score <= 0; what follows must be empty."""
    count = int((detections[:, 4] > 0).argmin()) if (detections[:, 4] <= 0).any() else len(detections)
    assert not detections[count:].any()
    return detections[:count]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_raw_outputs_are_those_of_onnxruntime(
    start: Start, cache: Path, clip: list[np.ndarray], noise: np.ndarray, layout: Any
) -> None:
    ours = start(DetectPerson(layout), "detect-person", frames=PICTURE, cache=cache)
    theirs = start(DetectPersonOnnxruntime(), "detect-person", frames=PICTURE, host=True)
    for picture in (noise, clip[0], np.zeros(PICTURE, np.uint8), np.full(PICTURE, 255, np.uint8)):
        ours(picture)
        for mine, wanted in zip(raw(ours), theirs.function.raw_outputs(picture), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("threshold", "iou"), [(0.0, 0.5), (0.02, 0.3), (0.4, 1.0), (0.5, 0.0), (1.0, 0.5)])
def test_boxes_are_those_of_numpy_on_the_same_raw_outputs(
    start: Start, cache: Path, clip: list[np.ndarray], layout: Any, threshold: float, iou: float
) -> None:
    run = start(DetectPerson(layout), "detect-person", frames=PICTURE, cache=cache, threshold=threshold, iou=iou)
    assert run.outputs == {"detections": TensorSpec((100, 6), "float32")}
    got = run(clip[1], CLIP_SIZE)
    np.testing.assert_allclose(got, decode(*raw(run), anchors(), threshold, iou, CLIP_SIZE), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["opencl", "onnxruntime"])
def test_finds_the_walkers_of_the_clip(start: Start, cache: Path, clip: list[np.ndarray], name: str) -> None:
    function, host = (DetectPerson(), False) if name == "opencl" else (DetectPersonOnnxruntime(), True)
    run = start(function, "detect-person", frames=PICTURE, cache=cache, host=host, threshold=0.4)
    boxes = found(run(clip[0], CLIP_SIZE))
    assert len(boxes) == 2
    np.testing.assert_allclose(boxes[:, :4], [[500, 160, 529, 233], [250, 219, 285, 311]], atol=4)
    assert (boxes[:, 4] > 0.85).all()
    assert (boxes[:, 5] == 0).all()


def test_both_implementations_find_the_same_boxes(start: Start, cache: Path, clip: list[np.ndarray]) -> None:
    parameters = {"frames": PICTURE, "cache": cache, "threshold": 0.3}
    ours = start(DetectPerson(), "detect-person", **parameters)
    theirs = start(DetectPersonOnnxruntime(), "detect-person", host=True, **parameters)
    for picture in clip:
        np.testing.assert_allclose(ours(picture, CLIP_SIZE), theirs(picture, CLIP_SIZE), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", ["opencl", "onnxruntime"])
def test_finds_nobody_in_an_empty_picture(start: Start, cache: Path, name: str) -> None:
    function, host = (DetectPerson(), False) if name == "opencl" else (DetectPersonOnnxruntime(), True)
    run = start(function, "detect-person", frames=PICTURE, cache=cache, host=host, threshold=0.4)
    assert not run(np.full(PICTURE, 128, np.uint8)).any()


def test_boxes_follow_the_size_of_each_frames_source(start: Start, cache: Path, clip: list[np.ndarray]) -> None:
    run = start(DetectPerson(), "detect-person", frames=PICTURE, cache=cache)
    small, large = (found(run(clip[0], size)) for size in ((300, 300), (600, 1200)))
    np.testing.assert_allclose(large[:, :4], small[:, :4] * [2, 4, 2, 4], rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_frames_in_flight_and_two_instances_keep_apart(
    start: Start, cache: Path, clip: list[np.ndarray], layout: Any
) -> None:
    one, other = (
        start(DetectPerson(layout), "detect-person", frames=PICTURE, cache=cache, threshold=t) for t in (0.1, 0.4)
    )
    frames = [(run, picture, (768 + i, 576 - i)) for i, picture in enumerate(clip) for run in (one, other)]
    enqueued = [run.enqueue({"frames": run.slot(picture)}, size) for run, picture, size in frames]
    together = [
        run.read(outputs["detections"], events) for (run, *_), (outputs, events) in zip(frames, enqueued, strict=True)
    ]
    for (run, picture, size), got in zip(frames, together, strict=True):
        np.testing.assert_array_equal(got, run(picture, size))


class Recorder:
    """A device that remembers every launch: queue, what it waited for, its event."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.launches: list[tuple[Any, list[Any], Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def launch(self, queue: Any, kernel: Any, global_size: Any, local_size: Any = None, wait_for: Any = ()) -> Any:
        event = self.device.launch(queue, kernel, global_size, local_size, wait_for)
        self.launches.append((queue, list(wait_for), event))
        return event


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_map_is_overwritten_only_after_the_last_frames_heads_have_read_it(
    opencl_device: Any, cache: Path, noise: np.ndarray, layout: Any
) -> None:
    device, function = Recorder(opencl_device), DetectPerson(layout)
    function.setup(
        SetupContext("detect", {}, {"frames": TensorSpec(PICTURE)}, device, folder=FUNCTION_FOLDER, cache=cache)
    )
    picture, detections = device.upload(noise), device.allocate(2400)
    for _ in range(2):
        function.run(device.queue, picture, detections, PICTURE[:2], ()).wait()
    backbone = [launch for launch in device.launches if launch[0] is device.queue]
    side = [launch for launch in device.launches if launch[0] is not device.queue]
    place = {event: position for position, (_, _, event) in enumerate(side)}  # both queues are in-order
    frame = len(backbone) // 2
    read = 0
    for position, (_, _, made) in enumerate(backbone[:frame]):
        readers = [place[event] for _, wait_for, event in side if made in wait_for]
        if readers:
            before = [event for _, wait_for, _ in backbone[frame : frame + position + 1] for event in wait_for]
            assert max(place[event] for event in before) >= max(readers)
            read += 1
    assert read == 6, "six maps have heads"
    function.close()


@pytest.mark.parametrize("function", [DetectPerson, DetectPersonOnnxruntime])
@pytest.mark.parametrize(
    ("frames", "parameters", "field", "words"),
    [
        ((576, 768, 3), {}, None, r"carries uint8 \[576, 768, 3\]; put filter-resize with width 300 and height 300"),
        ((300, 300), {}, None, "put filter-resize"),
        (PICTURE, {"threshold": 1.5}, "threshold", "threshold is 1.5; give a number from 0 to 1"),
        (PICTURE, {"iou": "high"}, "iou", "give a number from 0 to 1"),
        (PICTURE, {"threshold": True}, "threshold", "give a number from 0 to 1"),
    ],
)
def test_refuses_wrong_input(
    start: Start, function: Any, frames: Any, parameters: Any, field: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        start(function(), "detect-person", frames=frames, host=function is DetectPersonOnnxruntime, **parameters)
    assert error.value.parameter == field
