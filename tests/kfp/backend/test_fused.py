# SPDX-License-Identifier: Apache-2.0
"""Pipelines before and after fusing, run as a cluster runs them: what comes out is the same."""

# no annotations from __future__: KFP reads the types of components and pipelines
import json
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import compiler, dsl
from kfp_backend.backend import Backend, Run
from kfp_backend.cluster import FLOWS, PODS, Cluster
from kfp_backend.phases import FAILED, SUCCEEDED
from kfp_backend.store import S3Store

import accelchain.kfp
from accelchain.kfp import Frames, chain
from accelchain.kfp.functions import (
    decode_video,
    decode_video_uri,
    detect_person,
    filter_resize,
    write_detections,
)

IMAGE = "python:3.12"
FRAMES = 4
CLIP = Path(__file__).resolve().parents[3] / "pipelines/person-detection/people.mp4"


class Found(NamedTuple):
    """What the chain gives."""

    lines: dsl.Artifact
    count: int


@dsl.component(base_image=IMAGE)
def fetch(address: str, video: dsl.Output[dsl.Artifact]) -> None:
    """Copy a video into the pipeline root."""
    import shutil

    shutil.copyfile(address, video.path)


@chain
def people(video: dsl.Input[dsl.Artifact], threshold: float = 0.4, frames: int = 4) -> Found:
    """Find people."""
    pictures = decode_video(video=video, frames=frames).outputs["frames"]
    small = filter_resize(frames=pictures, width=300, height=300).outputs["frames"]
    lines = write_detections(detections=detect_person(frames=small, threshold=threshold).outputs["detections"])
    return Found(lines.outputs["lines"], lines.outputs["count"])


@dsl.component(base_image=IMAGE)
def tell(lines: dsl.Input[dsl.Artifact], count: int) -> str:
    """Say what is in the file, and what was counted."""
    with open(lines.path) as file:
        found = [len(__import__("json").loads(line)["detections"]) for line in file]
    return f"{found} {count}"


@dsl.component(base_image=IMAGE)
def total(told: list[str]) -> str:
    """Join sentences."""
    return "; ".join(told)


@dsl.pipeline(name="nested")
def nested(address: str, threshold: float = 0.4, frames: int = 4) -> None:
    """A chain between ordinary components."""
    found = people(video=fetch(address=address).outputs["video"], threshold=threshold, frames=frames)
    tell(lines=found.outputs["lines"], count=found.outputs["count"])


@dsl.component(base_image=IMAGE)
def size(frames: dsl.Input[Frames]) -> str:
    """Return a checksum of a file of frames."""
    import hashlib

    with open(frames.path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@dsl.pipeline(name="tapped")
def tapped(video: str, frames: int = 4) -> None:
    """A group whose frames an ordinary component looks at, in a loop and under a condition."""
    with dsl.ParallelFor([0.3, 0.9]) as threshold:
        with chain("detect"):
            pictures = decode_video_uri(uri=video, frames=frames)
            small = filter_resize(frames=pictures.outputs["frames"], width=300, height=300)
            found = detect_person(frames=small.outputs["frames"], threshold=threshold)
            lines = write_detections(detections=found.outputs["detections"])
        checksum = size(frames=small.outputs["frames"])
        with dsl.If(checksum.output != ""):
            tell(lines=lines.outputs["lines"], count=lines.outputs["count"])
    total(told=dsl.Collected(checksum.output))


def both(pipeline: Any, folder: Path) -> tuple[str, str]:
    """Return a pipeline's IR before and after fusing."""
    plain, fused = folder / "plain.yaml", folder / "fused.yaml"
    compiler.Compiler().compile(pipeline, str(plain))
    accelchain.kfp.compile(pipeline, str(fused))
    assert plain.read_text() != fused.read_text()
    return plain.read_text(), fused.read_text()


def values(run: Run, *tasks: str) -> dict[str, list[Any]]:
    """Return what tasks told."""
    assert run.phase == SUCCEEDED, "\n".join(run.failures)
    found = {task: sorted(json.dumps(each.outputs) for each in run.executions(task)) for task in tasks}
    assert all(found.values()), found
    return found


def test_a_nested_chain_on_this_machine(backend: Backend, tmp_path: Path, kernel_cache: Path) -> None:
    plain, fused = both(nested, tmp_path)
    backend.environment = {"ACCELCHAIN_CACHE": str(kernel_cache), "XDG_STATE_HOME": str(tmp_path / "state")}
    backend.shared = (*backend.shared, kernel_cache)
    before = backend.run(plain, address=str(CLIP), frames=FRAMES)
    after = backend.run(fused, address=str(CLIP), frames=FRAMES)
    assert values(after, "tell") == values(before, "tell")
    lines = before.artifacts("write-detections")["lines"]
    assert after.read(after.artifacts("people")["lines"]) == before.read(lines)
    assert after.count < before.count


@pytest.fixture
def on_s3(in_cluster: Backend, s3: S3Store, kernel_cache: Path) -> Backend:
    """A backend whose root is in S3, as the objects of the namespace tell the launcher."""
    assert in_cluster.cluster is not None
    in_cluster.cluster.configure_store(s3)
    in_cluster.store, in_cluster.root = s3, "s3://mlpipeline/v2"
    in_cluster.environment = {"ACCELCHAIN_CACHE": str(kernel_cache)}
    in_cluster.shared = (*in_cluster.shared, kernel_cache)
    return in_cluster


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_a_nested_chain_in_a_cluster(scheme: str, on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    plain, fused = both(nested, tmp_path)
    on_s3.root = f"{scheme}://mlpipeline/v2"
    before = on_s3.run(plain, address=str(CLIP), frames=FRAMES)
    after = on_s3.run(fused, address=str(CLIP), frames=FRAMES)
    assert values(after, "tell") == values(before, "tell")
    (flow,) = flows(cluster, after)
    owner = flow["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Workflow", after.workflow["metadata"]["uid"])
    assert flow["metadata"]["annotations"]["accelchain.io/heartbeat"]


def test_a_group_with_a_tap_in_a_loop(on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    plain, fused = both(tapped, tmp_path)
    s3_uri = "s3://mlpipeline/input/people.mp4"
    assert on_s3.store is not None
    on_s3.store.upload(CLIP, s3_uri)
    before = on_s3.run(plain, video=str(CLIP), frames=FRAMES)
    after = on_s3.run(fused, video=s3_uri, frames=FRAMES)
    assert values(after, "size", "tell", "total") == values(before, "size", "tell", "total")
    assert len({flow["metadata"]["name"] for flow in flows(cluster, after)}) == 2


def flows(cluster: Cluster, run: Run) -> list[dict[str, Any]]:
    """Return the DataFlows of a run."""
    return [
        each
        for each in cluster.objects(FLOWS)
        if each["metadata"].get("labels", {}).get("pipeline/runid") == run.run_id
    ]


def workers(cluster: Cluster, names: list[str]) -> list[str]:
    """Return the worker pods of flows that run."""
    return [
        pod["metadata"]["name"]
        for pod in cluster.objects(PODS)
        if any(pod["metadata"]["name"].startswith(name) for name in names)
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]


@pytest.mark.parametrize("seed", range(3))
def test_terminate_leaves_no_dataflow(seed: int, on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    _, fused = both(nested, tmp_path)
    run = on_s3.start(fused, address=str(CLIP), frames=10_000)
    cluster.until(lambda: len(run.pods) > 1, what="the launcher's pod")
    time.sleep(random.Random(seed).uniform(0, 3.0))  # whenever: before the DataFlow, while it is placed, while it runs
    names = [flow["metadata"]["name"] for flow in flows(cluster, run)]
    run.terminate()
    assert run.wait() == FAILED
    cluster.until(
        lambda: all(flow.get("status", {}).get("phase") in ("Failed", "Succeeded") for flow in flows(cluster, run)),
        what="the end of the run's DataFlows",
    )
    names += [flow["metadata"]["name"] for flow in flows(cluster, run)]
    cluster.until(lambda: not workers(cluster, names), what="the end of their workers")


def test_a_launcher_that_is_killed_is_tried_again_and_adopts(on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    @dsl.pipeline(name="killed")
    def pipeline(address: str, frames: int = 4) -> None:
        found = people(video=fetch(address=address).outputs["video"], frames=frames).set_retry(2)
        tell(lines=found.outputs["lines"], count=found.outputs["count"])

    _, fused = both(pipeline, tmp_path)
    run = on_s3.start(fused, address=str(CLIP), frames=60)
    flow = cluster.until(lambda: flows(cluster, run), what="the DataFlow")[0]
    run.pods[-1].lose()
    assert run.wait() == SUCCEEDED, run.failures
    (adopted,) = flows(cluster, run)
    assert adopted["metadata"]["uid"] == flow["metadata"]["uid"]
    assert len([pod for pod in run.pods if "KFP_RETRY_INDEX" in pod.environment]) == 2


def test_a_chain_is_cached_only_where_it_says_so(on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    _, fused = both(nested, tmp_path)
    first, second = (on_s3.run(fused, address=str(CLIP), frames=FRAMES) for _ in range(2))
    assert first.phase == second.phase == SUCCEEDED, first.failures + second.failures
    assert second.executions("people")[0].state == "COMPLETE"  # not CACHED
    assert {flow["metadata"]["name"] for flow in flows(cluster, first)}.isdisjoint(
        flow["metadata"]["name"] for flow in flows(cluster, second)
    )
