# SPDX-License-Identifier: Apache-2.0
"""dataflow_run in kfp.local: the launcher brings up what it needs."""

from pathlib import Path

import pytest
from kfp import local

from components.data_processing.dataflow_run import dataflow_run
from components.data_processing.dataflow_run.example_pipelines import SHRINK, shrink

CLIP = Path(__file__).parents[4] / "pipelines/person-detection/people.mp4"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))


def test_a_video_gets_small(tmp_path: Path) -> None:
    small = tmp_path / "small.mp4"
    done = shrink(inputs={"video": str(CLIP)}, outputs={"small": str(small)})
    assert done.output == 20
    assert small.stat().st_size > 1000


def test_what_it_tells(tmp_path: Path) -> None:
    done = dataflow_run(manifest=SHRINK, inputs={"video": str(CLIP)}, outputs={"small": str(tmp_path / "small.mp4")})
    told = done.outputs
    assert told["frames"] == 20 and told["seconds"] > 0 and told["frames_per_second"] > 0
    assert told["dataflow"].startswith("dataflow-") and told["namespace"] == "default"
    assert told["results"]["encode.frames"] == 20 and told["results"]["encode.bytes"] > 1000
    assert told["status"]["phase"] == "Succeeded" and len(told["status"]["placement"]) == 3
    assert told["metrics"].metadata["frames"] == 20
    assert "resize: us a frame" in told["metrics"].metadata
    assert "<svg" in Path(told["report"].path).read_text()
    assert "decode-video" in Path(told["summary"].path).read_text()


def test_a_manifest_that_is_wrong_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError):
        dataflow_run(manifest={"chain": {"functions": [{"name": "a", "type": "no-such-function"}]}})
    assert "no-such-function" in capfd.readouterr().out
