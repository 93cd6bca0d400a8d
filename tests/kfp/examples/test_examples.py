# SPDX-License-Identifier: Apache-2.0
"""Every file of pipelines/kfp: its golden IR, and the same results by kfp.local before and after fusing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import kfp
import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp import compiler, components, local
from kfp.pipeline_spec import pipeline_spec_pb2

from accelchain.cli.commands import cli
from accelchain.kfp import fused
from accelchain.kfp.core import decode

PIPELINES = Path(__file__).parents[3] / "pipelines"
FOLDER = PIPELINES / "kfp"
CLIP = str(PIPELINES / "person-detection" / "people.mp4")


@dataclass(frozen=True)
class Example:
    """A file, the pipeline in it, and what it is run with."""

    file: str
    pipeline: str
    arguments: dict[str, Any]
    chains: tuple[str, ...]
    says: str = ""
    """What its output begins with."""
    artifacts: tuple[str, ...] = field(default=())
    """Patterns of files under the pipeline root whose contents are the same."""


EXAMPLES = (
    Example("person_detection", "person_detection", {"address": CLIP}, ("annotate",), "394 boxes in 100 frames"),
    Example("cameras", "cameras", {"addresses": [CLIP, CLIP], "frames": 2}, ("count-people",), "2 cameras, "),
    Example("alert", "crowd", {"video": CLIP, "frames": 2, "limit": 3}, ("count-people",), "alert: "),
    Example("mixed", "mixed", {"table": f"video,people\nx,1\n{CLIP},3\n", "frames": 2}, ("find",), "0."),
    Example("grouped", "grouped", {"video": CLIP, "frames": 2}, ("detect",), artifacts=("*.jsonl",)),
)
BY_FILE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)


@pytest.fixture(scope="module")
def module() -> Callable[[Example], ModuleType]:
    made: dict[str, ModuleType] = {}

    def load(example: Example) -> ModuleType:
        if example.file not in made:
            name = f"example_{example.file}"
            spec = importlib.util.spec_from_file_location(name, FOLDER / f"{example.file}.py")
            assert spec is not None and spec.loader is not None
            found = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
            made[example.file] = found
        return made[example.file]

    return load


def payloads(file: Path) -> list[str]:
    """Return the names of the chains that a compiled pipeline launches."""
    executors = next(yaml.safe_load_all(file.read_text()))["deploymentSpec"]["executors"]
    arguments = [each["container"]["args"] for each in executors.values() if "container" in each]
    return [decode(words[words.index("--payload") + 1]).name for words in arguments if "--payload" in words]


def test_nothing_is_forgotten() -> None:
    assert {example.file for example in EXAMPLES} == {path.stem for path in FOLDER.glob("*.py")}


@BY_FILE
def test_the_golden_file_is_what_the_example_writes(example: Example, tmp_path: Path) -> None:
    golden = FOLDER / f"{example.file}.yaml"
    if f"sdkVersion: kfp-{kfp.__version__}\n" not in golden.read_text():
        pytest.skip(f"the golden files are those of another KFP than {kfp.__version__}")
    script = tmp_path / f"{example.file}.py"
    script.write_text((FOLDER / script.name).read_text())
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)
    assert script.with_suffix(".yaml").read_text() == golden.read_text()


@BY_FILE
def test_the_golden_file_is_read_by_kfp(example: Example) -> None:
    golden = FOLDER / f"{example.file}.yaml"
    document = next(yaml.safe_load_all(golden.read_text()))
    json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    components.load_component_from_file(str(golden))
    assert payloads(golden) == list(example.chains)


@BY_FILE
def test_the_command_makes_the_same_of_what_kfp_compiles(
    example: Example, module: Callable[[Example], ModuleType], tmp_path: Path
) -> None:
    plain, made = tmp_path / "plain.yaml", tmp_path / "fused.yaml"
    compiler.Compiler().compile(getattr(module(example), example.pipeline), str(plain))
    done = CliRunner().invoke(cli, ["fuse", str(plain), "-o", str(made), "--report", str(tmp_path / "report.json")])
    assert done.exit_code == 0, done.output
    assert payloads(made) == list(example.chains)
    steps = json.loads((tmp_path / "report.json").read_text())["steps"]
    assert {step["outcome"] for step in steps} == {"fused", "kept"} or example.file == "grouped"
    again = tmp_path / "again.yaml"
    assert CliRunner().invoke(cli, ["fuse", str(made), "-o", str(again)]).exit_code == 0
    assert again.read_text() == made.read_text()


@BY_FILE
def test_the_results_are_the_same_before_and_after(
    example: Example, module: Callable[[Example], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pipeline = getattr(module(example), example.pipeline)
    found: list[Any] = []
    for way, runs in (("pods", pipeline), ("chains", fused(pipeline))):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / way))
        done = runs(**example.arguments)
        films = [pictures(path) for path in sorted((tmp_path / way).rglob("*.mp4"))]
        lines = [path.read_text() for path in sorted((tmp_path / way).rglob("*.jsonl"))]
        result = done.output
        found.append((result if isinstance(result, str | float) else None, films, lines))
    assert found[0] == found[1]
    assert str(found[0][0] or "").startswith(example.says)
    assert found[0][2] or not example.artifacts


def pictures(path: Path) -> tuple[int, tuple[int, int]]:
    """Return how many pictures a video has, and their size."""
    with av.open(str(path)) as container:
        shapes = [frame.to_ndarray(format="gray").shape for frame in container.decode(video=0)]
    return len(shapes), shapes[0]
