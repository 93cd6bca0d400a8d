# SPDX-License-Identifier: Apache-2.0
"""Pipelines before and after fusing, run as a cluster runs them: what comes out is the same."""

# no annotations from __future__: KFP reads the types of components and pipelines
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import compiler, dsl
from kfp_backend.backend import Backend, Run
from kfp_backend.cluster import FLOWS, PODS, WORKFLOWS, Cluster
from kfp_backend.phases import FAILED, SUCCEEDED
from kfp_backend.pretended import Pretender
from kfp_backend.store import S3Store

import accelchain.kfp
from accelchain.kfp import Frames, chain
from accelchain.kfp.functions import (
    decode_video,
    decode_video_uri,
    detect_person,
    encode_video,
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


@chain
def counted(folder: str, name: str = "people", cpus: str = "1") -> int:
    """Count the frames of a video whose address is a text with inputs in it, one of them left to its default."""
    pictures = decode_video_uri(uri=f"file://{folder}/{name}.mp4", frames=2).set_cpu_limit(cpus)
    return encode_video(frames=pictures.outputs["frames"]).outputs["count"]


@dsl.component(base_image=IMAGE)
def say(count: int) -> str:
    """Say a number."""
    return f"{count} frames"


@dsl.pipeline(name="texts")
def texts(folder: str) -> None:
    """Addresses, and a pod's setting, that KFP puts together when a task runs."""
    with dsl.ParallelFor(["people"]) as name:
        with chain("group"):
            pictures = decode_video_uri(uri=f"file://{folder}/{name}.mp4", frames=3)
            film = encode_video(frames=pictures.outputs["frames"])
        said = say(count=film.outputs["count"])
    say(count=counted(folder=folder).output)
    total(told=dsl.Collected(said.output))


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


class Unfused(NamedTuple):
    """What the nested pipeline gave as separate steps."""

    told: dict[str, list[Any]]
    lines: bytes
    pods: int


@pytest.fixture(scope="module")
def unfused(tmp_path_factory: pytest.TempPathFactory, kernel_cache: Path, s3_soon: object) -> Unfused:
    """Run the nested pipeline's steps, on this machine; the S3 server that others need starts meanwhile."""
    del s3_soon
    folder = tmp_path_factory.mktemp("unfused")
    (folder / "artifacts").mkdir()
    environment = {"ACCELCHAIN_CACHE": str(kernel_cache)}
    backend = Backend(
        folder / "pods", str(folder / "artifacts"), environment=environment, shared=(folder, kernel_cache)
    )
    run = backend.run(both(nested, folder)[0], address=str(CLIP), frames=FRAMES)
    return Unfused(values(run, "tell"), run.read(run.artifacts("write-detections")["lines"]), run.count)


def check_same(run: Run, unfused: Unfused) -> None:
    """See that a fused run of the nested pipeline gave what its steps gave."""
    assert values(run, "tell") == unfused.told
    assert run.read(run.artifacts("people")["lines"]) == unfused.lines
    assert unfused.pods - run.count == 2 * 4 - 1  # four tasks and their graph's driver, now one task


def test_a_nested_chain_on_this_machine(
    backend: Backend, request: pytest.FixtureRequest, tmp_path: Path, kernel_cache: Path
) -> None:
    _, fused = both(nested, tmp_path)
    state = tmp_path / "state"
    backend.environment = {"ACCELCHAIN_CACHE": str(kernel_cache), "XDG_STATE_HOME": str(state)}
    backend.shared = (*backend.shared, kernel_cache)
    run = backend.start(fused, address=str(CLIP), frames=FRAMES)
    unfused = request.getfixturevalue("unfused")  # the steps run meanwhile
    run.wait()
    check_same(run, unfused)
    assert not [path for path in state.rglob("*") if path.is_file()]


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
def test_a_nested_chain_in_a_cluster(
    scheme: str, on_s3: Backend, unfused: Unfused, cluster: Cluster, tmp_path: Path
) -> None:
    _, fused = both(nested, tmp_path)
    on_s3.root = f"{scheme}://mlpipeline/v2"
    after = on_s3.run(fused, address=str(CLIP), frames=FRAMES)
    check_same(after, unfused)
    assert after.artifacts("people")["lines"].uri.startswith(f"{scheme}://mlpipeline/v2/nested/{after.run_id}/people/")
    assert b"Detections a frame" in after.read(after.artifacts("people")["report"])
    (flow,) = flows(cluster, after)
    owner = flow["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Workflow", after.workflow["metadata"]["uid"])
    assert flow["metadata"]["annotations"]["accelchain.io/heartbeat"]


def test_a_group_with_a_tap_in_a_loop(on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    plain, fused = both(tapped, tmp_path)
    before, after = (on_s3.start(text, video=f"file://{CLIP}", frames=FRAMES) for text in (plain, fused))
    before.wait()
    after.wait()
    assert values(after, "size", "tell", "total") == values(before, "size", "tell", "total")
    assert len({flow["metadata"]["name"] for flow in flows(cluster, after)}) == 2


def test_texts_with_inputs_in_them(backend: Backend, tmp_path: Path, kernel_cache: Path) -> None:
    plain, fused = both(texts, tmp_path)
    backend.environment = {"ACCELCHAIN_CACHE": str(kernel_cache), "XDG_STATE_HOME": str(tmp_path / "state")}
    backend.shared = (*backend.shared, kernel_cache)
    before, after = (backend.start(text, folder=str(CLIP.parent)) for text in (plain, fused))
    before.wait()
    after.wait()
    assert values(after, "say", "total") == values(before, "say", "total")
    assert before.count > after.count


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


MOMENTS: dict[str, Callable[[Cluster, Run], object]] = {
    "launcher starts": lambda _, run: any(pod.process for pod in run.pods[1:]),
    "flow is made": flows,
    "flow runs": lambda cluster, run: [f for f in flows(cluster, run) if f.get("status", {}).get("phase") == "Running"],
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_terminate_leaves_nothing(moment: str, on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    _, fused = both(nested, tmp_path)
    here = cluster.files()
    run = on_s3.start(fused, address=str(CLIP), frames=10_000)
    cluster.until(lambda: MOMENTS[moment](cluster, run), what=moment)
    run.terminate()
    assert run.wait() == FAILED
    assert all(pod.process is None or pod.process.poll() is not None for pod in run.pods)
    cluster.until(lambda: all(phase(flow) in ("Failed", "Succeeded") for flow in flows(cluster, run)), what="their end")
    names = [flow["metadata"]["name"] for flow in flows(cluster, run)]
    cluster.until(lambda: not workers(cluster, names), what="the end of their workers")
    # the run is deleted, and so is what it owns
    cluster.delete(WORKFLOWS, run.job.workflow)
    cluster.until(lambda: not flows(cluster, run), what="the end of the run's DataFlows")
    cluster.until(lambda: cluster.files() <= here, what="the end of their files")
    assert on_s3.store is not None
    assert not [key for key in on_s3.store.keys(f"v2/nested/{run.run_id}/people") if "executor-logs" not in key]


def phase(flow: dict[str, Any]) -> str:
    """Return a DataFlow's phase."""
    return str(flow.get("status", {}).get("phase"))


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


@chain(deterministic=True)
def shrunk(video: dsl.Input[dsl.Artifact], frames: int = 4) -> dsl.Artifact:
    """Make pictures small."""
    small = filter_resize(frames=decode_video(video=video, frames=frames).outputs["frames"], width=64, height=48)
    return encode_video(frames=small.outputs["frames"]).outputs["video"]  # type: ignore[no-any-return]


@dsl.pipeline(name="caching")
def caching(address: str, frames: int = 4) -> None:
    """A chain that may be cached, and one that may not."""
    video = fetch(address=address).outputs["video"]
    shrunk(video=video, frames=frames)
    people(video=video, frames=frames)


def test_a_chain_is_cached_only_where_it_says_so(on_s3: Backend, cluster: Cluster, tmp_path: Path) -> None:
    _, fused = both(caching, tmp_path)
    first, second = (on_s3.run(fused, address=str(CLIP), frames=FRAMES) for _ in range(2))
    assert states(first) == ["COMPLETE", "COMPLETE"], first.failures
    assert states(second) == ["CACHED", "COMPLETE"], second.failures
    earlier = {flow["metadata"]["name"] for flow in flows(cluster, first)}
    later = {flow["metadata"]["name"] for flow in flows(cluster, second)}
    assert (len(earlier), len(later)) == (2, 1)
    assert not earlier & later
    assert first.artifacts("shrunk") == second.artifacts("shrunk")


def test_the_cache_looks_at_the_inputs_of_a_chain(tmp_path: Path) -> None:
    _, fused = both(caching, tmp_path)
    backend = Backend(tmp_path, str(tmp_path), execute=Pretender({}).execute)
    runs = [backend.run(fused, address=address, frames=frames) for address, frames in (("a", 4), ("a", 2), ("b", 4))]
    runs.append(backend.run(fused, address="a", frames=2))
    assert [states(run)[0] for run in runs] == ["COMPLETE", "COMPLETE", "COMPLETE", "CACHED"]


def states(run: Run) -> list[str]:
    """Return how a run's chains ended: the one that may be cached, and the other."""
    return [run.executions(task)[0].state for task in ("shrunk", "people")]
