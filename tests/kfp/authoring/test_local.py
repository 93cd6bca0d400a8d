# SPDX-License-Identifier: Apache-2.0
"""Ready-made components in ``kfp.local``: real functions on a real video."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import dsl, local

from accelchain.kfp import chain, component_of, fused
from accelchain.kfp.functions import (
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)

ROOT = Path(__file__).parents[3]
PEOPLE = ROOT / "pipelines" / "person-detection" / "people.mp4"
OWN = ROOT / "pipelines" / "own-function" / "functions"


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def most_people(lines: dsl.Input[dsl.Artifact], metrics: dsl.Output[dsl.Metrics]) -> int:
    import json

    with open(lines.path) as file:
        counts = [len(json.loads(line)["detections"]) for line in file]
    metrics.log_metric("frames", len(counts))
    return max(counts)


@chain
def annotate(video: dsl.Input[dsl.Artifact], threshold: float = 0.5) -> dsl.Artifact:
    frames = decode_video(video=video, frames=3).outputs["frames"]
    small = filter_resize(frames=frames, width=300, height=300).outputs["frames"]
    found = detect_person(frames=small, threshold=threshold).outputs["detections"]
    encode_video(frames=draw_boxes(frames=frames, detections=found).outputs["frames"], quality=30)
    return write_detections(detections=found).outputs["lines"]


@dsl.pipeline
def street(uri: str) -> NamedTuple("Out", [("lines", dsl.Artifact), ("most", int)]):
    video = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact)
    found = annotate(video=video.output, threshold=0.4)
    out = NamedTuple("Out", [("lines", dsl.Artifact), ("most", int)])  # noqa: UP014
    return out(lines=found.output, most=most_people(lines=found.output).outputs["Output"])


@pytest.fixture(scope="module")
def as_components(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Where the pipeline left its files, and what it gave."""
    root = tmp_path_factory.mktemp("components")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    return root, street(uri=str(PEOPLE)).outputs


@pytest.mark.timeout(300)
def test_a_pipeline_runs_as_components(as_components: tuple[Path, dict[str, Any]]) -> None:
    root, outputs = as_components
    assert outputs["most"] == 3
    lines = Path(outputs["lines"].path)
    assert lines.name == "lines.jsonl"
    assert [json.loads(line)["frame"] for line in lines.read_text().splitlines()] == [0, 1, 2]
    (video,) = root.glob("*/encode-video/video.mp4")
    assert b"ftyp" in video.read_bytes()[:16]
    (told,) = root.glob("*/encode-video/executor_output.json")
    assert json.loads(told.read_text())["parameterValues"] == {"count": 3}


@pytest.mark.timeout(300)
def test_a_chain_gives_what_its_components_give(
    as_components: tuple[Path, dict[str, Any]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    chained = fused(street)(uri=str(PEOPLE)).outputs
    assert chained["most"] == as_components[1]["most"]
    assert Path(chained["lines"].path).read_text() == Path(as_components[1]["lines"].path).read_text()


@pytest.mark.timeout(300)
def test_a_function_of_ones_own_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(OWN, here / "functions")
    monkeypatch.chdir(here)
    monkeypatch.setenv("ACCELCHAIN_FUNCTIONS", "functions")  # as the documentation has it
    invert = component_of("invert")

    @dsl.pipeline
    def main(uri: str) -> int:
        video = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact)
        with chain("inverted", device_types=["fpga"], nodes=["far-away"]):  # wishes for a cluster
            frames = decode_video(video=video.output, frames=2).outputs["frames"]
            film = encode_video(frames=invert(frames=frames).outputs["frames"])
        return film.outputs["count"]

    assert main(uri=str(PEOPLE)).output == 2
    assert fused(main)(uri=str(PEOPLE)).output == 2


def test_a_function_that_fails_fails_the_pipeline(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @dsl.pipeline
    def main(uri: str):
        decode_video(video=dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact).output)

    with pytest.raises(RuntimeError, match="finished with status"):
        main(uri=str(here / "no.mp4"))
    assert "no.mp4" in capfd.readouterr().out
