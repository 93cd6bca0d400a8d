# SPDX-License-Identifier: Apache-2.0
"""Chains become one template each: what is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hera.workflows import Parameter, RetryStrategy, S3Artifact

from accelchain.argo.core.body import parse_body
from accelchain.hera import Chain, Detections, Frames, PlacementRule, PortType, Stream, Volume, accelerated
from accelchain.hera.functions import (
    copy,
    decode_video,
    detect_person,
    draw_boxes,
    encode_video,
    filter_resize,
    write_detections,
)


def built(chain: Chain) -> dict[str, Any]:
    document: dict[str, Any] = chain._build_template().model_dump(exclude_none=True, by_alias=True)
    return document


def spec(chain: Chain) -> dict[str, Any]:
    flow: dict[str, Any] = built(chain)["plugin"]["accelchain"]["dataflow"]
    return flow


def test_a_branch_and_a_join() -> None:
    with Chain("person-detection") as chain:
        frames = decode_video(chain.input("video"))
        found = detect_person(filter_resize(frames, width=300, height=300), threshold=0.4)
        encode_video(draw_boxes(frames, found), uri=chain.output("annotated"))
        write_detections(found, uri=chain.output("detections"))

    composed = spec(chain)["chain"]
    assert [f["name"] for f in composed["functions"]] == [
        "decode-video",
        "filter-resize",
        "detect-person",
        "draw-boxes",
        "encode-video",
        "write-detections",
    ]
    assert {(c["from"], c["to"]) for c in composed["connections"]} == {
        ("decode-video.frames", "filter-resize.frames"),
        ("filter-resize.frames", "detect-person.frames"),
        ("decode-video.frames", "draw-boxes.frames"),
        ("detect-person.detections", "draw-boxes.detections"),
        ("draw-boxes.frames", "encode-video.frames"),
        ("detect-person.detections", "write-detections.detections"),
    }
    assert composed["functions"][2]["parameters"] == {"threshold": 0.4}
    assert [a["name"] for a in built(chain)["inputs"]["artifacts"]] == ["video"]
    assert [a["name"] for a in built(chain)["outputs"]["artifacts"]] == ["annotated", "detections"]


def test_arrows_compose_as_calls_do() -> None:
    def calls(chain: Chain) -> None:
        frames = decode_video(chain.input("video"))
        found = detect_person(filter_resize(frames, width=300, height=300))
        encode_video(draw_boxes(copy(frames), found), uri=chain.output("annotated"))

    def arrows(chain: Chain) -> None:
        frames = chain.input("video") >> decode_video
        found = frames >> filter_resize.using(width=300, height=300) >> detect_person
        (frames >> copy, found) >> draw_boxes >> encode_video.using(uri=chain.output("annotated"))

    composed = []
    for compose in (calls, arrows):
        with Chain("same") as chain:
            compose(chain)
        composed.append(spec(chain))
    assert composed[0] == composed[1]


def test_a_function_that_is_called_twice_gets_two_names() -> None:
    with Chain("twice") as chain:
        frames = decode_video(chain.input("video"))
        encode_video(filter_resize(frames, 64, 64), uri=chain.output("one"))
        encode_video(filter_resize.options(name="large")(frames, 640, 640), uri=chain.output("two"))
        encode_video(filter_resize(frames, 32, 32), uri=chain.output("three"))
    names = [f["name"] for f in spec(chain)["chain"]["functions"]]
    assert names == [
        "decode-video",
        "filter-resize",
        "encode-video",
        "large",
        "encode-video-2",
        "filter-resize-2",
        "encode-video-3",
    ]


def test_parameters_may_come_from_the_caller() -> None:
    with Chain("sizes", inputs=[Parameter(name="height", value=100)]) as chain:
        width = chain.parameter("width", int)
        labels = Parameter(name="labels", value="{{workflow.parameters.labels}}")
        frames = filter_resize(decode_video(chain.input("video")), width, chain.get_parameter("height"))  # type: ignore[arg-type]
        small = filter_resize(frames, 300, 300, filter="{{inputs.parameters.filter}}")  # type: ignore[arg-type]
        found = detect_person(small)
        write_detections(found, uri=chain.output("found"), labels=labels)  # type: ignore[arg-type]
        chain.parameter("filter", default="none")
    functions = {f["name"]: f.get("parameters", {}) for f in spec(chain)["chain"]["functions"]}
    assert functions["filter-resize"] == {
        "width": "{{inputs.parameters.width}}",
        "height": "{{inputs.parameters.height}}",
    }
    assert functions["filter-resize-2"]["filter"] == "{{inputs.parameters.filter}}"
    assert functions["write-detections"]["labels"] == "{{workflow.parameters.labels}}"
    assert built(chain)["inputs"]["parameters"] == [
        {"name": "height", "value": "100"},
        {"name": "width"},
        {"name": "filter", "value": "none"},
    ]


def test_addresses_and_locations() -> None:
    with Chain("places") as chain:
        uri = chain.parameter("video", str)
        frames = decode_video(chain.input("video", uri=uri, credentials="camera"))
        place = S3Artifact(key="{{workflow.name}}/small.mp4", bucket="results")
        encode_video(frames, uri=chain.output("small", artifact=place))
        encode_video(frames, uri=chain.output("copy", uri="s3://other/copy.mp4"))
    assert spec(chain)["inputs"] == {
        "video": {"uri": "{{inputs.parameters.video}}", "credentialsRef": {"name": "camera"}}
    }
    assert spec(chain)["outputs"] == {"copy": {"uri": "s3://other/copy.mp4"}}
    assert "artifacts" not in built(chain)["inputs"]
    (artifact,) = built(chain)["outputs"]["artifacts"]
    assert (artifact["name"], artifact["s3"]["key"]) == ("small", "{{workflow.name}}/small.mp4")


def test_load_placement_and_retries(shrink: Callable[..., Chain]) -> None:
    on_gpu = filter_resize.options(device_types=["gpu"], implementations=["opencl"], rate=10)
    with Chain(
        "placed",
        rate=30,
        retries=2,
        placement=[PlacementRule(nodes=["a", "b"])],
        volumes=[Volume.model_validate({"name": "d", "mountPath": "/d", "persistentVolumeClaim": {"claimName": "d"}})],
        strategy="spread",
    ) as chain:
        frames = on_gpu(decode_video(chain.input("video", uri="file:///d/a.mp4")), width=64, height=64)
        encode_video(frames, uri=chain.output("small", uri="file:///d/b.mp4"))
    flow = spec(chain)
    assert flow["rate"] == {
        "framesPerSecond": 30,
        "functions": [{"function": "filter-resize", "framesPerSecond": 10}],
    }
    assert flow["placement"]["rules"] == [
        {"nodes": ["a", "b"]},
        {"function": "filter-resize", "deviceTypes": ["gpu"], "implementations": ["opencl"]},
    ]
    assert flow["retries"] == {"limit": 2}
    assert flow["strategyRef"] == {"name": "spread"}
    assert flow["volumes"][0]["mountPath"] == "/d"


def test_what_the_template_says_to_argo_and_the_plugin(shrink: Callable[..., Chain]) -> None:
    chain = shrink(retry_strategy=RetryStrategy(limit=2), timeout="10m", labels={"team": "a"})
    chain.result("frames", default=0)
    chain.result("size", "encode-video.bytes", global_name="size")
    template = built(chain)
    assert template["retryStrategy"] == {"limit": 2}
    assert template["timeout"] == "10m"
    assert template["metadata"] == {"labels": {"team": "a"}}
    assert template["outputs"]["parameters"] == [
        {"name": "frames", "valueFrom": {"supplied": {}, "default": "0"}},
        {"name": "size", "globalName": "size", "valueFrom": {"supplied": {}}},
    ]
    said = template["plugin"]["accelchain"]
    assert (said["node"], said["attempt"]) == ("{{node.name}}", "{{retries}}")
    assert said["results"] == {"size": "encode-video.bytes"}


def test_the_plugin_takes_the_body_once_argo_filled_it_in(shrink: Callable[..., Chain]) -> None:
    template = built(shrink())
    said = template["plugin"]["accelchain"]
    said["node"], said["attempt"] = "wf-abc.main", "1"
    said["dataflow"]["chain"]["functions"][1]["parameters"]["width"] = "320"
    parsed = parse_body(template)
    assert (parsed.node, parsed.attempt, parsed.complete_when, parsed.owned) == ("wf-abc.main", 1, "Finished", True)


def test_a_stream_that_outlives_its_workflow() -> None:
    with Chain("live", mode="Stream", complete_when="Running", owner="None") as chain:
        chain.result("endpoint")
        frames = decode_video(chain.input("camera", uri="rtsp://camera/1"))
        encode_video(frames, uri=chain.output("view", uri="http://0.0.0.0:8090/live"))
    said = built(chain)["plugin"]["accelchain"]
    assert (said["completeWhen"], said["owner"], said["dataflow"]["mode"]) == ("Running", "None", "Stream")


def test_by_argos_resource_template() -> None:
    with Chain("resource", emit="resource") as chain:
        frames = decode_video(chain.input("video", uri="s3://videos/a.mp4"))
        encode_video(frames, uri=chain.output("small", uri="s3://videos/b.mp4"))
        chain.result("frames")
    template = built(chain)
    assert "plugin" not in template
    assert template["resource"]["action"] == "create"
    assert "DataFlow" in template["resource"]["manifest"]
    assert template["outputs"]["parameters"][0]["name"] == "frames"


class Masks(Stream):
    port = PortType("masks", "float32", ("height", "width"))


class Parts(NamedTuple):
    people: Detections
    masks: Masks


@accelerated("segment", version="2.1.0")
def segment(frames: Frames, level: float = 0.5) -> Parts:
    raise NotImplementedError


@accelerated("blend")
def blend(frames: Frames, masks: Masks, gain: float = 1.0) -> Frames:
    raise NotImplementedError


def test_functions_of_the_cluster_that_are_not_installed_here() -> None:
    with Chain("segmented") as chain:
        frames = decode_video(chain.input("video"))
        parts = segment.options(implementations=["tensor-core"])(frames, level=0.7)
        encode_video(blend(frames, parts.masks), uri=chain.output("blended"))
        write_detections(parts.people, uri=chain.output("people"))
    composed = spec(chain)["chain"]
    assert {"from": "segment.people", "to": "write-detections.detections"} in composed["connections"]
    assert {"from": "segment.masks", "to": "blend.masks"} in composed["connections"]
    called = {f["name"]: f for f in composed["functions"]}
    assert called["segment"] == {"name": "segment", "type": "segment", "version": "2.1.0", "parameters": {"level": 0.7}}
    # nobody here knows the type's default, so Python's is written down
    assert called["blend"]["parameters"] == {"gain": 1.0}


@accelerated("overlay")
def overlay(frames: Frames, logo: Frames | None = None) -> Frames:
    raise NotImplementedError


def test_an_input_that_may_stay_open() -> None:
    with Chain("overlaid") as chain:
        frames = decode_video(chain.input("video"))
        encode_video(overlay(overlay(frames, filter_resize(frames, 64, 64))), uri=chain.output("overlaid"))
    edges = [(c["from"], c["to"]) for c in spec(chain)["chain"]["connections"]]
    assert ("filter-resize.frames", "overlay.logo") in edges
    assert not [target for _, target in edges if target == "overlay-2.logo"]


@pytest.mark.parametrize("given", [{}, {"filter": "none"}, {"filter": "median"}])
def test_defaults_that_the_manifest_has_too_are_left_to_it(given: dict[str, Any]) -> None:
    with Chain("defaults") as chain:
        encode_video(filter_resize(decode_video(chain.input("video")), 64, 64, **given), uri=chain.output("small"))
    assert spec(chain)["chain"]["functions"][1]["parameters"] == {"width": 64, "height": 64} | given
