# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` by the functions of a cluster."""

# no annotations from __future__: KFP reads those of pipelines
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from accelchain.api.crd import crds
from accelchain.cli.installed import function_types

pytestmark = pytest.mark.usefixtures("call")  # in a folder of its own


def annotated(repository: Path) -> tuple[Path, Path]:
    """Return a workflow whose templates name functions, and what fuse makes of it."""
    folder = repository / "pipelines/argo/video-chain"
    return folder / "workflow.yaml", folder / "fused.yaml"


def test_the_functions_of_the_cluster_are_taken(call: Any, api: Any, repository: Path) -> None:
    plain, fused = annotated(repository)
    reader = api.user("ann", ("accelchain.io", "functiontypes", "get list"))
    done = call("fuse", plain, "--kubeconfig", api.kubeconfig(), "-o", "out.yaml")
    assert done.exit_code == 0, done.stderr
    assert Path("out.yaml").read_text() == fused.read_text()
    assert "list functiontypes" in call("fuse", plain, "--kubeconfig", reader).stderr  # for the whole cluster


def test_a_function_that_the_cluster_lacks_keeps_its_step(call: Any, make_api: Any, repository: Path) -> None:
    plain, _ = annotated(repository)
    api = make_api([*crds(), *(t.to_dict() for t in function_types() if t.metadata.name != "filter-resize")])
    done = call("fuse", plain, "--kubeconfig", api.kubeconfig(), "-o", "out.yaml", "--report", "report.json")
    assert done.exit_code == 0, done.stderr
    steps = {step["step"]: step for step in json.loads(Path("report.json").read_text())["steps"]}
    assert (steps["resize"]["outcome"], steps["resize"]["rule"]) == ("kept", 1)
    assert "filter-resize" in steps["resize"]["sentence"]
    assert yaml.safe_load(Path("out.yaml").read_text()) == yaml.safe_load(plain.read_text())


def test_pipelines_of_kubeflow_as_well(call: Any, make_api: Any, repository: Path) -> None:
    pytest.importorskip("kfp")
    from kfp import compiler, dsl

    from accelchain.kfp import chain
    from accelchain.kfp.functions import decode_video_uri, encode_video

    @dsl.pipeline(name="p")
    def pipeline() -> None:
        with chain("copy"):
            encode_video(frames=decode_video_uri(uri="file:///video.mp4").outputs["frames"])

    compiler.Compiler().compile(pipeline, "p.yaml")
    everything = make_api()
    assert call("fuse", "p.yaml", "--kubeconfig", everything.kubeconfig(), "-o", "fused.yaml").exit_code == 0
    assert call("fuse", "p.yaml", "-o", "here.yaml").exit_code == 0
    assert Path("fused.yaml").read_text() == Path("here.yaml").read_text()
    nothing = make_api(crds())
    done = call("fuse", "p.yaml", "--kubeconfig", nothing.kubeconfig(name="nothing"), "-o", "none.yaml")
    assert done.exit_code == 2 and not Path("none.yaml").exists()
    assert "no function 'decode-video' is installed" in done.stderr
