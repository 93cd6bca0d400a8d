# SPDX-License-Identifier: Apache-2.0
"""video_person_detection in kfp.local, on the demo's clip."""

import json
from pathlib import Path

import pytest
from kfp import dsl, local

from components.data_processing.video_person_detection import video_person_detection

CLIP = Path(__file__).parents[4] / "pipelines/person-detection/people.mp4"


def test_people_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))

    @dsl.pipeline
    def strict(uri: str) -> int:
        video = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact)
        return video_person_detection(video=video.output, threshold=0.9).outputs["people"]

    found = strict(uri=str(CLIP)).output
    (lines,) = (tmp_path / "root").rglob("detections.jsonl")
    frames = [json.loads(line)["detections"] for line in lines.read_text().splitlines()]
    assert len(frames) == 100 and sum(map(len, frames)) == found > 50
    assert min(box["score"] for each in frames for box in each) >= 0.9
    assert list((tmp_path / "root").rglob("annotated.mp4"))
