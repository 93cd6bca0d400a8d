# SPDX-License-Identifier: Apache-2.0
"""What docs/hera.md tells people to write works."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hera.workflows import DAG, Artifact, Parameter, Workflow

import accelchain.hera
import accelchain.hera.functions
from accelchain.hera import DataFlowTemplate, Detections

ROOT = Path(__file__).parents[2]
PEOPLE = (ROOT / "pipelines" / "person-detection" / "people.mp4").as_uri()
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "hera.md").read_text(encoding="utf-8"), re.DOTALL)


def block(begin: str) -> str:
    (found,) = [text for text in BLOCKS if begin in text]
    return textwrap.dedent(found)


@pytest.fixture
def names() -> dict[str, Any]:
    modules = (accelchain.hera, accelchain.hera.functions)
    return {name: getattr(module, name) for module in modules for name in module.__all__} | {
        "Parameter": Parameter,
        "Artifact": Artifact,
    }


def test_the_first_example_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("print(w.to_yaml())"), {})
    assert "plugin:\n      accelchain:" in capsys.readouterr().out


def test_calls_and_arrows(names: dict[str, Any]) -> None:
    exec(block('with Chain("annotate") as c:'), names)
    arrows = "with Chain('annotate') as d:\n" + textwrap.indent(block("(frames, found) >> draw_boxes"), "    ")
    exec(arrows.replace("c.", "d."), names)
    calls, same = names["c"]._spec()["chain"], names["d"]._spec()["chain"]
    assert [f for f in calls["functions"] if f["name"] != "write-detections"] == same["functions"]


def test_functions_of_ones_own(names: dict[str, Any]) -> None:
    exec(block("class Masks(Stream)"), names)
    exec(block("masks = segment(frames)").replace("file:///videos/street.mp4", PEOPLE), names)
    assert names["masks"].shape == (10, 576, 768)
    assert isinstance(names["found"], Detections)


def test_a_spec_that_is_there_already(names: dict[str, Any]) -> None:
    exec(block("detect = DataFlowTemplate("), names)
    assert isinstance(names["detect"], DataFlowTemplate)
    assert names["detect"]._build_template().plugin is not None


def test_as_pods(names: dict[str, Any], shrink: Any, video: Artifact) -> None:
    chain = shrink("shrink")
    names["shrink"], names["video"] = chain, video
    with Workflow(generate_name="w-", entrypoint="main") as workflow, DAG(name="main"):
        exec(block("shrink.as_tasks()").replace('"height"', '"width"'), names)
    assert len(workflow.templates) == 5
