# SPDX-License-Identifier: Apache-2.0
"""Compiled pipelines as documents, and components that several tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, local

IR = tuple[dict[str, Any], dict[str, Any]]

SCALE = """
name: scale
inputs:
- {name: source, type: Dataset}
- {name: wide, type: Integer}
outputs:
- {name: small, type: Dataset}
implementation:
  container:
    image: pictures/scale:3
    command: [scale, {inputPath: source}, {inputValue: wide}, {outputPath: small}]
"""


@pytest.fixture
def ir(tmp_path: Path) -> Callable[[Any], IR]:
    """Compiles by KFP's own compiler: the pipeline, and executors' marks by the component's name."""

    def compiled(pipeline: Any) -> IR:
        file = tmp_path / "compiled.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        documents = [*yaml.safe_load_all(file.read_text()), {}]
        platforms = documents[1].get("platforms", {}).get("dataflow", {})
        marks = platforms.get("deploymentSpec", {}).get("executors", {})
        return documents[0], {label.removeprefix("exec-"): next(iter(found.values())) for label, found in marks.items()}

    return compiled


@pytest.fixture
def scale() -> Any:
    """A component that was loaded from YAML, and knows nothing of us."""
    return components.load_component_from_text(SCALE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``kfp.local`` runs tasks in this Python, and writes into this folder."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    return tmp_path
