# SPDX-License-Identifier: Apache-2.0
"""A chain as ordinary pods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hera.workflows import DAG, Artifact, RetryStrategy, S3Artifact, Steps, Workflow
from hera.workflows.models import Backoff

from accelchain.cli.commands import cli
from accelchain.hera import Chain, CompositionError
from accelchain.hera.functions import (
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)


def templates(workflow: Workflow) -> dict[str, Any]:
    return {t["name"]: t for t in workflow.to_dict()["spec"]["templates"]}


def in_a_workflow(chain: Chain, video: Artifact, **arguments: Any) -> dict[str, Any]:
    tasks = chain.as_tasks()
    with Workflow(generate_name="w-", entrypoint="main") as workflow, DAG(name="main"):
        tasks(arguments={"video": video, **arguments})
    return templates(workflow)


def test_one_pod_a_function_that_hands_over_a_file(shrink: Callable[..., Chain], video: Artifact) -> None:
    found = in_a_workflow(shrink(), video, width=64)
    assert sorted(found) == [
        "main",
        "shrink-tasks",
        "shrink-tasks-decode-video",
        "shrink-tasks-encode-video",
        "shrink-tasks-filter-resize",
    ]
    resize = found["shrink-tasks-filter-resize"]
    assert resize["metadata"]["annotations"] == {
        "accelchain.io/function": "filter-resize",
        "accelchain.io/ephemeral": "frames",
    }
    assert resize["container"]["command"] == ["accelchain", "step", "filter-resize"]
    assert resize["container"]["args"] == [
        *("--width", "{{inputs.parameters.width}}", "--height", "200"),
        *("--input", "frames={{inputs.artifacts.frames.path}}"),
        *("--output", "frames={{outputs.artifacts.frames.path}}"),
    ]
    assert resize["outputs"]["artifacts"] == [{"name": "frames", "path": "/tmp/out/frames", "archive": {"none": {}}}]
    encode = found["shrink-tasks-encode-video"]
    assert encode["container"]["args"][:2] == ["--uri", "{{outputs.artifacts.small.path}}"]
    assert encode["outputs"]["artifacts"][0]["path"] == "/tmp/out/small.mp4"
    assert "accelchain.io/ephemeral" not in encode["metadata"]["annotations"]


def test_the_dag_takes_and_gives_what_the_chain_does(shrink: Callable[..., Chain], video: Artifact) -> None:
    chain = shrink(retry_strategy=RetryStrategy(limit=1))
    dag = in_a_workflow(chain, video)["shrink-tasks"]
    plugin = chain._build_template().model_dump(exclude_none=True, by_alias=True)
    assert [p["name"] for p in dag["inputs"]["parameters"]] == [p["name"] for p in plugin["inputs"]["parameters"]]
    assert [a["name"] for a in dag["inputs"]["artifacts"]] == [a["name"] for a in plugin["inputs"]["artifacts"]]
    assert dag["outputs"]["artifacts"] == [{"name": "small", "from": "{{tasks.encode-video.outputs.artifacts.small}}"}]
    assert dag["retryStrategy"] == {"limit": 1}
    tasks = {t["name"]: t for t in dag["dag"]["tasks"]}
    assert "depends" not in tasks["decode-video"]
    assert tasks["filter-resize"]["depends"] == "decode-video"
    assert tasks["filter-resize"]["arguments"] == {
        "artifacts": [{"name": "frames", "from": "{{tasks.decode-video.outputs.artifacts.frames}}"}],
        "parameters": [{"name": "width", "value": "{{inputs.parameters.width}}"}],
    }


def test_a_retry_strategy_goes_through_fuse_and_back(
    shrink: Callable[..., Chain], video: Artifact, tmp_path: Path
) -> None:
    """The whole is tried again: the DAG as pods, and as one DataFlow, whose name then differs with the DAG's node."""
    strategy = RetryStrategy(limit=2, retry_policy="Always", backoff=Backoff(duration="5s", factor=2))
    tasks = shrink(retry_strategy=strategy).as_tasks()
    with Workflow(generate_name="w-", entrypoint="main") as workflow, DAG(name="main"):
        tasks(arguments={"video": video, "width": 64})
    (tmp_path / "pods.yaml").write_text(workflow.to_yaml())
    done = CliRunner().invoke(cli, ["fuse", str(tmp_path / "pods.yaml"), "-o", str(tmp_path / "fused.yaml")])
    assert done.exit_code == 0 and "3 fused" in done.stderr, done.stderr
    fused = {t["name"]: t for t in yaml.safe_load((tmp_path / "fused.yaml").read_text())["spec"]["templates"]}
    wanted = {"limit": 2, "retryPolicy": "Always", "backoff": {"duration": "5s", "factor": 2}}
    assert fused["shrink-tasks"]["retryStrategy"] == wanted
    (step,) = fused["shrink-tasks"]["dag"]["tasks"]
    one = fused[step["template"]]
    assert "retryStrategy" not in one, "it would be tried (limit + 1)² times"
    assert one["plugin"]["accelchain"]["node"] == "{{node.name}}"
    assert "attempt" not in one["plugin"]["accelchain"], "the node's name has the DAG's attempt"
    back = CliRunner().invoke(cli, ["unfuse", str(tmp_path / "fused.yaml")])
    assert back.exit_code == 0, back.stderr
    assert yaml.safe_load(back.stdout) == workflow.to_dict()


def test_branches_and_joins(video: Artifact) -> None:
    with Chain("d") as chain:
        frames = decode_video(chain.input("video"))
        found = detect_person(filter_resize(frames, 300, 300))
        encode_video(draw_boxes(frames, found), uri=chain.output("annotated"))
        place = S3Artifact(bucket="b", key="k.jsonl", global_name="found")
        write_detections(found, uri=chain.output("found", artifact=place))
    made = in_a_workflow(chain, video)
    tasks = {t["name"]: t for t in made["d-tasks"]["dag"]["tasks"]}
    assert tasks["draw-boxes"]["depends"] == "decode-video && detect-person"
    assert made["d-tasks"]["outputs"]["artifacts"][1]["globalName"] == "found"
    (written,) = made["d-tasks-write-detections"]["outputs"]["artifacts"]
    assert (written["s3"]["key"], written["path"]) == ("k.jsonl", "/tmp/out/found.jsonl")
    assert "globalName" not in written


@pytest.mark.parametrize(("key", "ending"), [("a/b.mkv", ".mkv"), ("{{workflow.name}}", ".mp4"), (None, ".mp4")])
def test_a_sink_writes_the_kind_of_file_that_the_key_says(video: Artifact, key: str | None, ending: str) -> None:
    with Chain("k") as chain:
        place = S3Artifact(key=key) if key else None
        encode_video(decode_video(chain.input("video")), uri=chain.output("small", artifact=place))
    (written,) = in_a_workflow(chain, video)["k-tasks-encode-video"]["outputs"]["artifacts"]
    assert written["path"] == f"/tmp/out/small{ending}"


def test_several_uses_bring_the_pods_once(shrink: Callable[..., Chain], video: Artifact) -> None:
    chain = shrink()
    with Workflow(generate_name="w-", entrypoint="main") as workflow:
        tasks = chain.as_tasks("pods", image="worker:1")
        with Steps(name="main"):
            tasks(name="a", arguments={"video": video})
            tasks(name="b", arguments={"video": video})
    names = [t["name"] for t in workflow.to_dict()["spec"]["templates"]]
    assert sorted(names) == ["main", "pods", "pods-decode-video", "pods-encode-video", "pods-filter-resize"]
    assert templates(workflow)["pods-decode-video"]["container"]["image"] == "worker:1"


def test_a_pinned_version_stays_pinned(video: Artifact) -> None:
    from accelchain.hera import Frames, accelerated

    @accelerated("copy", version="1.0.0")
    def pinned(frames: Frames) -> Frames:
        raise NotImplementedError

    with Chain("p") as chain:
        encode_video(pinned(decode_video(chain.input("video"))), uri=chain.output("again"))
    annotations = in_a_workflow(chain, video)["p-tasks-pinned"]["metadata"]["annotations"]
    assert annotations["accelchain.io/function"] == "copy@1.0.0"


def test_what_pods_can_not_do(shrink: Callable[..., Chain]) -> None:
    with Chain("address") as chain:
        encode_video(decode_video(chain.input("video", uri="s3://videos/a.mp4")), uri=chain.output("again"))
    with pytest.raises(CompositionError, match=r"input 'video': pods hand over artifacts.*chain\.input\('video'\)"):
        chain.as_tasks()
    with Chain("literal") as chain:
        encode_video(decode_video("s3://videos/a.mp4"), uri=chain.output("again"))
    with pytest.raises(CompositionError, match=r"function 'decode-video', parameter 'uri'.*s3://videos/a\.mp4"):
        chain.as_tasks()
    chain = shrink()
    chain.result("frames")
    with pytest.raises(CompositionError, match="result 'frames' comes from a DataFlow"):
        chain.as_tasks()
    with pytest.raises(CompositionError, match="a DAG has no timeout"):
        shrink(timeout="5m").as_tasks()
