# SPDX-License-Identifier: Apache-2.0
"""What is wrong in a chain is said in Python: function, port, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hera.workflows import DAG, Container, Parameter, RetryStrategy, S3Artifact, Steps, Workflow
from hera.workflows.models import Toleration

from accelchain.hera import Chain, CompositionError, DataFlowTemplate, Frames, PlacementRule, accelerated
from accelchain.hera.functions import (
    decode_video,
    detect_person,
    encode_video,
    filter_resize,
    write_detections,
)

untyped: Any = write_detections
resize: Any = filter_resize


def refused(compose: Callable[[Chain], Any], *parts: str, **fields: Any) -> None:
    with pytest.raises(CompositionError) as caught, Chain("c", **fields) as chain:
        compose(chain)
    message = str(caught.value)
    assert all(part in message for part in parts), message


def test_a_port_of_another_type() -> None:
    def compose(chain: Chain) -> None:
        untyped(decode_video(chain.input("video")), uri=chain.output("found"))

    refused(compose, "function 'write-detections', input 'detections'", "'decode-video.frames' carries frames", "put a")


def test_a_shape_that_does_not_fit_is_found_when_the_block_ends() -> None:
    def compose(chain: Chain) -> None:
        found = detect_person(filter_resize(decode_video(chain.input("video")), width=300, height=200))
        write_detections(found, uri=chain.output("found"))

    refused(compose, "'filter-resize.frames' does not fit 'detect-person.frames'", "[200, 300, 3]")


def test_a_shape_that_argo_fills_in_is_taken_to_fit() -> None:
    with Chain("c") as chain:
        width = chain.parameter("width", default=300)
        found = detect_person(filter_resize(decode_video(chain.input("video")), width=width, height=300))
        write_detections(found, uri=chain.output("found"))


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"width": 8, "height": 64}, ("function 'filter-resize', parameter 'width'", "below the minimum, 16")),
        ({"width": "wide", "height": 64}, ("parameter 'width'", '"wide" is a string, an integer is wanted')),
        ({"width": [3], "height": 64}, ("parameter 'width'", "list is neither int")),
        ({"width": 64, "height": 64, "filter": "blur"}, ("parameter 'filter'", '"blur" is none of')),
    ],
)
def test_a_parameter_that_does_not_fit(given: dict[str, Any], parts: tuple[str, ...]) -> None:
    def compose(chain: Chain) -> None:
        encode_video(resize(decode_video(chain.input("video")), **given), uri=chain.output("small"))

    refused(compose, *parts)


def test_a_parameter_of_heras_that_stands_for_nothing() -> None:
    refused(
        lambda chain: resize(decode_video(chain.input("video")), width=Parameter(name="width"), height=64),
        "Hera's parameter 'width' has no value: use what chain.parameter('width', …)",
    )


@pytest.mark.parametrize("value", [None, "frames", np.zeros((1, 4, 4, 3), np.uint8)])
def test_an_input_that_is_no_port(value: Any) -> None:
    refused(lambda chain: resize(value, 64, 64), "input 'frames'", "give what another accelerated function")


def test_a_port_as_a_parameter() -> None:
    def compose(chain: Chain) -> None:
        frames = decode_video(chain.input("video"))
        resize(frames, width=frames, height=4)

    refused(compose, "parameter 'width'", "'decode-video.frames' is a port")


def test_a_port_of_another_chain() -> None:
    with Chain("other") as other:
        frames = decode_video(other.input("video"))
    refused(lambda chain: filter_resize(frames, 64, 64), "a port of chain 'other'", "chains hand over artifacts")


def test_a_port_outside_of_its_chain() -> None:
    with Chain("c") as chain:
        frames = decode_video(chain.input("video"))
    with pytest.raises(CompositionError, match="outside of that chain: move the call into its `with` block"):
        filter_resize(frames, 64, 64)


def test_values_are_not_computed_with_under_a_chain() -> None:
    refused(lambda chain: np.asarray(decode_video(chain.input("video"))), "holds no values here")


def test_names_that_are_taken() -> None:
    def functions(chain: Chain) -> None:
        frames = decode_video(chain.input("video"))
        for _ in range(2):
            filter_resize.options(name="small")(frames, 64, 64)

    refused(functions, "has a function 'small' already")
    refused(lambda chain: [chain.input("video") for _ in range(2)], "has an input 'video' already")
    refused(lambda chain: [chain.parameter("p", int) for _ in range(2)], "has a parameter 'p' already")
    refused(lambda chain: [chain.result("frames") for _ in range(2)], "has a result 'frames' already")


def test_endpoints() -> None:
    refused(lambda chain: None, "chain 'c' has no functions")

    def unused(chain: Chain) -> None:
        decode_video(chain.input("video"))
        chain.output("small")

    refused(unused, "output 'small' is used by no function", "uri=chain.output('small')")
    place = S3Artifact(key="k")
    refused(lambda c: c.input("video", uri="s3://b/k", artifact=place), "give uri or artifact, not both")
    refused(lambda c: c.input("video", credentials="key"), "credentials belong to a uri")


def test_placement_and_load() -> None:
    def compose(chain: Chain) -> None:
        encode_video(decode_video(chain.input("video")), uri=chain.output("small"))

    refused(
        compose, "placement.rules[0].function", "no function 'decode'", placement=[PlacementRule(function="decode")]
    )
    refused(
        lambda chain: decode_video.options(implementations=["gpu"])(chain.input("video")),
        "placement.rules[0].implementations[0]",
        "'gpu'",
    )
    with Chain("c") as chain:
        encode_video.options(rate=3)(decode_video(chain.input("video")), uri=chain.output("small"))
    with pytest.raises(CompositionError, match="'encode-video' has a rate and the chain has none"):
        chain._build_template()


def test_a_result_that_no_function_gives(shrink: Callable[..., Chain]) -> None:
    chain = shrink()
    chain.result("size", "encode.bytes")
    with pytest.raises(CompositionError, match=r"results\.size: the chain has no output 'encode\.bytes'.*encode-video"):
        chain._build_template()


def test_artifacts_of_a_step_that_ends_before_they_are_there(shrink: Callable[..., Chain]) -> None:
    with pytest.raises(CompositionError, match="has no artifacts yet"):
        shrink(mode="Stream", complete_when="Running")._build_template()


def test_a_chain_holds_functions_only(shrink: Callable[..., Chain]) -> None:
    refused(lambda chain: Container(name="x", image="y"), "move Container 'x' out of its `with` block")
    refused(lambda chain: Chain("inner"), "chain 'inner' lies in chain 'c'")
    inner = shrink()
    refused(lambda chain: inner(), "'shrink' is a template")


def test_fields_that_have_no_effect(shrink: Callable[..., Chain]) -> None:
    chain = shrink(tolerations=[Toleration(key="gpu")])
    with pytest.raises(CompositionError, match=r"'shrink': tolerations is for steps that are pods.*placement rules"):
        chain._build_template()


@pytest.mark.parametrize("context", [DAG, Steps])
def test_a_single_function_is_no_step(context: Any) -> None:
    with (
        Workflow(generate_name="w-"),
        context(name="main"),
        pytest.raises(CompositionError, match=r"hand over files, not frames: call it in `with Chain"),
    ):
        decode_video("s3://videos/a.mp4")


def test_a_chain_is_called_in_a_dag_or_in_steps(shrink: Callable[..., Chain]) -> None:
    with pytest.raises(CompositionError, match="call it in a `with DAG"):
        shrink()()
    with Workflow(generate_name="w-"), pytest.raises(CompositionError, match="call it in a `with DAG"):
        shrink()()


def test_two_different_chains_of_one_name(shrink: Callable[..., Chain]) -> None:
    video = {"video": S3Artifact(bucket="b", key="k")}
    with Workflow(generate_name="w-"), DAG(name="main"):
        shrink()(name="a", arguments=video)
        shrink()(name="b", arguments=video)  # the same once more
        with pytest.raises(CompositionError, match="another template 'shrink'"):
            shrink(rate=3)(name="c", arguments=video)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"vidoe": "x"}, "'shrink' takes no argument 'vidoe': did you mean 'video'?"),
        ([S3Artifact(name="film", bucket="b", key="k")], "'shrink' takes no argument 'film': choose from: "),
        (None, "'shrink' lacks its argument 'video': give arguments={'video': …}."),
    ],
)
def test_arguments_of_a_call(shrink: Callable[..., Chain], arguments: Any, says: str) -> None:
    with Workflow(generate_name="w-"), DAG(name="main"), pytest.raises(CompositionError) as caught:
        shrink()(name="a", arguments=arguments)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"emit": "pod"}, "template 'shrink': emit is 'pod': choose from: plugin, resource."),
        (
            {"timeout": "soon"},
            "template 'shrink': timeout: 'soon' is no duration: write one such as 30s, 10m or 1h30m.",
        ),
        ({"retries": 1, "retry_strategy": RetryStrategy(limit="2")}, "chain 'shrink': retries and retry_strategy"),
    ],
)
def test_fields_that_fit_nothing(shrink: Callable[..., Chain], fields: dict[str, Any], says: str) -> None:
    with pytest.raises(CompositionError) as caught:
        shrink(**fields)
    assert str(caught.value).startswith(says)


def test_a_name_that_argo_does_not_take() -> None:
    with (
        pytest.raises(CompositionError, match="template 'my_chain': Argo takes names of letters"),
        Chain("my_chain") as c,
    ):
        encode_video(decode_video(c.input("video")), uri=c.output("small"))


def test_calls_that_do_not_fit_the_function() -> None:
    with Chain("c") as c:
        frames = decode_video(c.input("video"))
        with pytest.raises(TypeError, match=r"filter_resize\(\) has no argument 'widht': did you mean 'width'\?"):
            filter_resize(frames, widht=300, height=300)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"filter_resize\(\): missing a required argument: 'height': it takes"):
            filter_resize(frames, width=300)  # type: ignore[call-arg]
        with pytest.raises(CompositionError, match="device_types: there is no 'tpu': did you mean 'gpu'"):
            filter_resize.options(device_types=["tpu"])  # type: ignore[list-item]
        encode_video(frames, uri=c.output("small"))


def test_artifacts_have_no_way_into_a_resource_template(shrink: Callable[..., Chain]) -> None:
    with pytest.raises(CompositionError, match=r"template 'shrink': inputs\.artifacts"):
        shrink(emit="resource")._build_template()


def annotated_wrongly() -> list[tuple[Any, str]]:
    def nothing(frames) -> Frames: ...  # type: ignore[no-untyped-def,empty-body]
    def returns(frames: Frames): ...  # type: ignore[no-untyped-def]
    def lists(frames: Frames, sizes: list[int]) -> Frames: ...  # type: ignore[empty-body]
    def number(frames: Frames) -> int: ...  # type: ignore[empty-body]
    def same(frames: Frames) -> tuple[Frames, Frames]: ...  # type: ignore[empty-body]
    def many(*frames: Frames) -> Frames: ...  # type: ignore[empty-body]

    return [
        (nothing, "'nothing', argument 'frames': annotate it"),
        (returns, "'returns': annotate what it returns"),
        (lists, "'lists', argument 'sizes': list"),
        (number, "'number' returns int"),
        (same, r"'same' returns 2 ports.*outputs="),
        (many, r"\*frames names no port"),
    ]


@pytest.mark.parametrize(("function", "message"), annotated_wrongly())
def test_signatures_that_tell_too_little(function: Any, message: str) -> None:
    with pytest.raises(CompositionError, match=message):
        accelerated("x")(function)


def test_a_signature_that_is_not_the_manifests() -> None:
    @accelerated("filter-resize")
    def other(pictures: Frames, width: int, height: int, blur: bool = False) -> Frames:
        raise NotImplementedError

    refused(lambda chain: other(decode_video(chain.input("v")), 64, 64), "has no input 'pictures'", "frames")

    @accelerated("filter-resize")
    def wrong(frames: Frames, width: int, height: int, fliter: str = "none") -> Frames:
        raise NotImplementedError

    refused(
        lambda chain: wrong(decode_video(chain.input("v")), 64, 64), "no parameter 'fliter'", "did you mean 'filter'"
    )


def test_names_of_the_template(shrink: Callable[..., Chain]) -> None:
    with pytest.raises(CompositionError, match=r"'shrink': inputs\.parameters has 'width' twice"):
        shrink(inputs=[Parameter(name="width")])._build_template()
    with pytest.raises(CompositionError, match=r"uses \{\{inputs\.parameters\.viedo\}\}.*did you mean 'video'"):
        DataFlowTemplate(
            "t",
            inputs=[Parameter(name="video")],
            dataflow={"chainRef": {"name": "c"}, "inputs": {"v": {"uri": "s3://b/{{inputs.parameters.viedo}}"}}},
        )._build_template()


def test_a_spec_that_is_wrong() -> None:
    with pytest.raises(CompositionError, match=r"template 't': plugin\.accelchain\.dataflow\.moed"):
        DataFlowTemplate("t", dataflow={"chainRef": {"name": "c"}, "moed": "Batch"})._build_template()
    with pytest.raises(CompositionError, match="give dataflow"):
        DataFlowTemplate("t")._build_template()
    with pytest.raises(CompositionError, match=r"owner.*(complete_when|completeWhen)"):
        DataFlowTemplate("t", dataflow={"chainRef": {"name": "c"}}, owner="None")._build_template()


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p * 2,
        lambda p: 2 * p,
        lambda p: p + 1,
        lambda p: p > 3,
        lambda p: -p,
        lambda p: p // 2,
        lambda p: not p,
    ],
)
def test_nothing_is_calculated_from_a_value_that_argo_fills_in(use: Callable[[Any], Any]) -> None:
    with Chain("c") as c:
        width = c.parameter("width", int)
        with pytest.raises(CompositionError, match="parameter 'width': its value is known when the step starts"):
            use(width)
        assert f"s3://b/{width}" == "s3://b/" + str(width) == "s3://b/{{inputs.parameters.width}}"
        encode_video(filter_resize(decode_video(c.input("v")), width=width, height=16), uri=c.output("o"))


def test_a_value_of_another_task_is_passed_by_arguments() -> None:
    with Workflow(generate_name="w-"), DAG(name="main"):
        task = Container(name="say", image="i", outputs=Parameter(name="width", value_from={"path": "/x"}))()
        with pytest.raises(CompositionError, match=r"uses tasks\.say, which only the template that calls it knows"):
            with Chain("c") as c:
                small = filter_resize(decode_video(c.input("v")), width=task.get_parameter("width"), height=16)
                encode_video(small, uri=c.output("o"))
            c._build_template()


def test_a_template_is_not_called_in_one_of_its_name(shrink: Callable[..., Chain]) -> None:
    with Workflow(generate_name="w-"), DAG(name="shrink"), pytest.raises(CompositionError, match="of the same name"):
        shrink()(name="a", arguments={"video": S3Artifact(bucket="b", key="k")})


def test_two_sinks_do_not_share_an_output() -> None:
    with (
        pytest.raises(CompositionError, match="output 'o' is written by 'encode-video' and 'encode-video-2'"),
        Chain("c") as c,
    ):
        frames, out = decode_video(c.input("v")), c.output("o")
        encode_video(frames, uri=out)
        encode_video(filter_resize(frames, width=16, height=16), uri=out)


def test_kinds_of_arguments(shrink: Callable[..., Chain]) -> None:
    with Chain("by-address") as by_address:
        key = by_address.parameter("key", str)
        encode_video(decode_video(by_address.input("v", uri=f"s3://b/{key}")), uri=by_address.output("o"))
    with Workflow(generate_name="w-"), DAG(name="main"):
        with pytest.raises(CompositionError, match="argument 'video': it is an artifact: give S3Artifact"):
            shrink()(name="a", arguments={"video": "s3://b/k"})
        with pytest.raises(CompositionError, match="argument 'key': it is a parameter, and gets an artifact"):
            by_address(name="b", arguments={"key": S3Artifact(bucket="b", key="k")})


def test_a_chain_that_is_only_an_exit_handler_joins_the_workflow(shrink: Callable[..., Chain]) -> None:
    with Chain("clean") as clean:
        encode_video(decode_video(clean.input("v", uri="s3://b/k")), uri=clean.output("o", uri="s3://b/o"))
    with Workflow(generate_name="w-", entrypoint="main") as w, DAG(name="main"):
        shrink()(name="a", arguments={"video": S3Artifact(bucket="b", key="k")}, on_exit=clean)
    assert {template["name"] for template in w.to_dict()["spec"]["templates"]} == {"main", "clean", "shrink"}
