# SPDX-License-Identifier: Apache-2.0
"""The detector's network as the kernels see it, and its cache."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelchain_runtime.devices.opencl import OpenCL
from accelchain_runtime.engine.function import SetupContext
from accelchain_runtime.functions import detect_person
from accelchain_runtime.functions.detect_person.decode import anchors
from accelchain_runtime.functions.detect_person.model import Layer, Network, blocks
from accelchain_runtime.functions.detect_person.opencl import DetectPerson
from accelchain_runtime.functions.detect_person.ports import PICTURE
from accelchain_runtime.functions.detect_person.weights import load

FOLDER = Path(detect_person.__file__).parent


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "made on demand"


@pytest.fixture(scope="module")
def network(cache: Path) -> Network:
    return load(FOLDER, cache)


def test_the_outputs_are_filled_without_gap_or_overlap(network: Network) -> None:
    assert list(network.outputs) == [(len(anchors()), 4), (len(anchors()), 2)]
    for number, output in enumerate(network.outputs):
        heads = sorted((x.shape for x in network.layers if x.shape.head == number), key=lambda shape: shape.offset)
        ends = np.cumsum([shape.out_size**2 * shape.outputs for shape in heads])
        assert [shape.offset for shape in heads] == [0, *ends[:-1]]
        assert ends[-1] == np.prod(output)


def test_blocks_hold_every_layer_once_and_hide_no_map_that_others_read(network: Network) -> None:
    groups = blocks(network)
    assert sorted(x.shape.index for group in groups for x in group) == list(range(len(network.layers)))
    assert {len(group) for group in groups} == {1, 2, 3}
    readers = network.readers()
    for group in groups:
        for layer, following in itertools.pairwise(group):
            assert readers[layer.shape.index] == [following]


def test_the_cache_gives_back_what_was_folded(network: Network, cache: Path) -> None:
    again = load(FOLDER, cache)
    assert list(again.outputs) == list(network.outputs)
    for one, other in zip(network.layers, again.layers, strict=True):
        assert one.shape == other.shape
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.bias, other.bias)
    assert [path.suffix for path in cache.iterdir()] == [".npz"], "nothing half-written is left"


def test_a_warm_start_imports_no_onnx(network: Network, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from accelchain_runtime.functions.detect_person.weights import load;"
        "load(Path(sys.argv[1]), Path(sys.argv[2])); print([m for m in sys.modules if m.startswith('onnx')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, FOLDER, cache],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_another_model_does_not_get_the_cached_weights(network: Network, cache: Path, tmp_path: Path) -> None:
    model = (FOLDER / "pedssd_fp16w.onnx").read_bytes()
    (tmp_path / "pedssd_fp16w.onnx").write_bytes(model + b"\x32\x05other")  # a doc_string: another file, same network
    load(tmp_path, cache)
    assert len(list(cache.glob("*.npz"))) == 2


def test_a_cache_that_cannot_be_written_is_told_and_does_no_harm(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.touch()
    with caplog.at_level(logging.WARNING):
        loaded = load(FOLDER, file / "cache")
    assert "not cached" in caplog.text
    assert _numbers(loaded.layers[0]) == _numbers(network.layers[0])


def test_after_prepare_a_start_writes_nothing_more(tmp_path: Path) -> None:
    def device() -> Any:  # a fresh one each: a device keeps the programs that it has built
        return OpenCL().open(["cpu0"])["cpu0"]

    DetectPerson.prepare(device(), FOLDER, tmp_path)
    prepared = _files(tmp_path)
    assert {path.suffix for path in prepared} == {".npz", ".bin"}
    function = DetectPerson()
    function.setup(SetupContext("detect", {}, {"frames": PICTURE}, device(), folder=FOLDER, cache=tmp_path))
    function.close()
    assert _files(tmp_path) == prepared


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _numbers(layer: Layer) -> list[float]:
    return [float(layer.weight.sum()), float(layer.bias.sum())]
