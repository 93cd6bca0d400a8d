# SPDX-License-Identifier: Apache-2.0
"""The interface of video_person_detection."""

from pathlib import Path

from kfp import compiler, components

from components.data_processing.video_person_detection import video_person_detection
from components.data_processing.video_person_detection.example_pipelines import people


def test_it_compiles_and_is_loaded_again(tmp_path: Path) -> None:
    for each in (video_person_detection, people):
        compiler.Compiler().compile(each, str(tmp_path / "compiled.yaml"))
        components.load_component_from_file(str(tmp_path / "compiled.yaml"))
    inputs, outputs = video_person_detection.component_spec.inputs, video_person_detection.component_spec.outputs
    assert inputs["video"].type == "system.Artifact@0.0.1" and inputs["threshold"].default == 0.4
    assert outputs["people"].type == "Integer"
    assert {"annotated", "detections", "metrics", "report", "summary"} < set(outputs)
