# SPDX-License-Identifier: Apache-2.0
"""Tasks of one graph that become one task of it."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain.kfp import core

GROUP = {"name": "people", "kind": "group"}
COUNT = {"taskOutputParameter": {"producerTask": "decode", "outputParameterKey": "count"}}


def artifact(task: str, key: str) -> dict[str, Any]:
    return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def only_task(done: core.Fused) -> dict[str, Any]:
    ((name, task),) = done.pipeline.spec["root"]["dag"]["tasks"].items()
    assert name == "people"
    return task


def test_a_chain_is_one_task_with_its_runtime_values_as_inputs(graph: Any, fused: Any, payload: Any) -> None:
    done = fused(graph.chain(GROUP).pipeline())
    task = only_task(done)
    assert task["inputs"] == {
        "parameters": {
            "decode--uri": {"componentInputParameter": "uri"},
            "detect--threshold": {"componentInputParameter": "limit"},
        }
    }
    assert task["cachingOptions"] == {}
    assert done.pipeline.platforms is None
    told = payload(done, "exec-people")
    functions = {f["name"]: f for f in told.spec["chain"]["functions"]}
    assert functions["decode"]["parameters"] == {"frames": 8, "uri": "$(inputs.uri.uri)"}
    assert functions["resize"]["parameters"] == {"width": 300, "height": 300}
    assert told.inputs == {"uri": {"parameter": "decode--uri"}}
    assert told.outputs == {"lines": {"artifact": "write--lines", "ending": ".jsonl"}}
    assert told.tasks == ["decode", "resize", "detect", "write"]
    assert [e.outcome for e in done.entries] == ["fused"] * 4


def test_what_others_need_leaves_by_a_tap(graph: Any, fused: Any, payload: Any) -> None:
    graph.chain(GROUP).add("look", "look", artifacts={"frames": artifact("resize", "frames")})
    done = fused(graph.pipeline())
    look = done.pipeline.spec["root"]["dag"]["tasks"]["look"]
    assert look["inputs"]["artifacts"]["frames"] == artifact("people", "resize--frames")
    assert look["dependentTasks"] == ["people"]
    told = payload(done, "exec-people")
    assert {"from": "resize.frames", "to": "save-frames.frames"} in told.spec["chain"]["connections"]
    assert told.outputs["frames"] == {"artifact": "resize--frames"}


def test_what_comes_from_outside_is_loaded_once(graph: Any, fused: Any, payload: Any) -> None:
    graph.add("decode", "decode", mark=False, parameters={"uri": constant("file:///x.mp4")})
    for name in ("one", "two"):
        size = {"width": constant(300.0), "height": constant(300.0)}
        graph.add(name, "resize", chain=GROUP, parameters=size, artifacts={"frames": artifact("decode", "frames")})
    done = fused(graph.pipeline())
    task = done.pipeline.spec["root"]["dag"]["tasks"]["people"]
    assert task["dependentTasks"] == ["decode"]
    assert task["inputs"]["artifacts"] == {"one--frames": artifact("decode", "frames")}
    told = payload(done, "exec-people")
    assert [f["type"] for f in told.spec["chain"]["functions"]].count("load-frames") == 1
    assert sorted(c["to"] for c in told.spec["chain"]["connections"]) == ["one.frames", "two.frames"]


def test_results_are_output_parameters(graph: Any, fused: Any, payload: Any) -> None:
    graph.chain(GROUP)
    selector = {"producerSubtask": "write", "outputParameterKey": "count"}
    graph.outputs = {"parameters": {"people": {"valueFromParameter": selector}}}
    graph.defined["outputDefinitions"] = {"parameters": {"people": {"parameterType": "NUMBER_INTEGER"}}}
    done = fused(graph.pipeline())
    output = done.pipeline.spec["root"]["dag"]["outputs"]["parameters"]["people"]["valueFromParameter"]
    assert output == {"producerSubtask": "people", "outputParameterKey": "write--count"}
    told = payload(done, "exec-people")
    assert told.results == {"write--count": "write.detections"}
    assert told.types == {"write--count": "NUMBER_INTEGER"}


def test_the_most_tries_and_everybody_who_waits(graph: Any, fused: Any) -> None:
    graph.add("before", "look", artifacts={"frames": {"componentInputArtifact": "pictures"}})
    graph.defined["inputDefinitions"]["artifacts"] = {
        "pictures": {"artifactType": {"schemaTitle": "system.Frames", "schemaVersion": "0.0.1"}}
    }
    graph.chain(GROUP, after=["before"], retryPolicy={"maxRetryCount": 3, "backoffDuration": "0s"})
    graph.tasks["write"]["retryPolicy"] = {"maxRetryCount": 1}
    graph.add("after", "look", artifacts={"frames": artifact("before", "frames")}, after=["write"])
    tasks = fused(graph.pipeline()).pipeline.spec["root"]["dag"]["tasks"]
    assert tasks["people"]["dependentTasks"] == ["before"]
    assert tasks["people"]["retryPolicy"]["maxRetryCount"] == 3
    assert tasks["after"]["dependentTasks"] == ["before", "people"]


def test_options_of_the_chain_and_of_functions(graph: Any, fused: Any, payload: Any) -> None:
    chain = GROUP | {
        "rate": 8.0,
        "retries": 2.0,
        "activeDeadlineSeconds": 60.0,
        "placement": {"nodes": ["edge"]},
        "deterministic": True,
    }
    graph.chain(chain)
    graph.marks["exec-detect"] |= {"placement": {"deviceTypes": ["gpu"]}, "rate": 4.0}
    done = fused(graph.pipeline())
    spec = payload(done, "exec-people").spec
    assert spec["rate"] == {"framesPerSecond": 8.0, "functions": [{"function": "detect", "framesPerSecond": 4.0}]}
    assert spec["placement"] == {"rules": [{"nodes": ["edge"]}, {"function": "detect", "deviceTypes": ["gpu"]}]}
    assert (spec["retries"], spec["activeDeadlineSeconds"]) == ({"limit": 2}, 60)
    # no cacheKey: later backends take it for the whole of the key, whatever the inputs are
    assert only_task(done)["cachingOptions"] == {"enableCache": True}


def test_a_text_takes_its_inputs_along(graph: Any, fused: Any, payload: Any) -> None:
    text = "s3://{{$.inputs.parameters['pipelinechannel--bucket']}}/{{$.inputs.parameters['pipelinechannel--uri']}}"
    graph.chain(GROUP).tasks["decode"]["inputs"]["parameters"] = {
        "uri": constant(text),
        "pipelinechannel--bucket": {"componentInputParameter": "limit"},
        "pipelinechannel--uri": {"componentInputParameter": "uri"},
        "cpu_limit": constant("{{$.inputs.parameters['pipelinechannel--bucket']}}"),
    }
    done = fused(graph.pipeline())
    task = only_task(done)
    assert task["inputs"]["parameters"] == {
        "decode--uri": constant(text),
        "detect--threshold": {"componentInputParameter": "limit"},
        "pipelinechannel--bucket": {"componentInputParameter": "limit"},
        "pipelinechannel--uri": {"componentInputParameter": "uri"},
    }
    component = done.pipeline.spec["components"][task["componentRef"]["name"]]
    assert sorted(component["inputDefinitions"]["parameters"]) == ["decode--uri", "detect--threshold"], "as KFP has it"
    assert payload(done, "exec-people").inputs == {"uri": {"parameter": "decode--uri"}}


def test_what_looks_like_a_reference_of_a_dataflow_is_text(graph: Any, fused: Any, payload: Any) -> None:
    uri = constant("file:///$(parameters.x).mp4")
    graph.chain(GROUP).tasks["decode"]["inputs"]["parameters"]["uri"] = uri
    done = fused(graph.pipeline())
    assert only_task(done)["inputs"]["parameters"]["decode--uri"] == uri
    assert payload(done, "exec-people").inputs == {"uri": {"parameter": "decode--uri"}}


def test_what_one_member_is_not_cached_the_chain_is_not(graph: Any, fused: Any) -> None:
    graph.chain({**GROUP, "deterministic": True}).tasks["detect"]["cachingOptions"] = {}
    graph.tasks["resize"]["cachingOptions"]["cacheKey"] = "mine"
    done = fused(graph.pipeline())
    assert only_task(done)["cachingOptions"] == {}
    assert any("its cache key" in e.sentence for e in done.entries if e.task == "resize")


def test_outputs_that_no_function_gives_are_told(graph: Any, fused: Any) -> None:
    component = graph.chain(GROUP).components["comp-detect"]
    component["outputDefinitions"]["artifacts"]["m"] = {"artifactType": {"schemaTitle": "system.Metrics"}}
    (said,) = (e.sentence for e in fused(graph.pipeline()).entries if e.task == "detect")
    assert "Left out: its output 'm', which the function does not give and no task takes." in said


def test_accelerators_and_nodes_of_pods_are_wishes(graph: Any, fused: Any, payload: Any) -> None:
    graph.chain(GROUP)
    accelerator = {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}
    resources = {"accelerator": accelerator, "resourceCpuLimit": "2"}
    graph.executors["exec-detect"]["container"]["resources"] = resources
    graph.kubernetes["exec-resize"] = {"nodeSelector": {"labels": {"kubernetes.io/hostname": "edge"}}}
    done = fused(graph.pipeline())
    rules = payload(done, "exec-people").spec["placement"]["rules"]
    assert rules == [{"function": "resize", "nodes": ["edge"]}, {"function": "detect", "deviceTypes": ["gpu"]}]
    (said,) = (e.sentence for e in done.entries if e.task == "detect")
    assert "limits and requests" in said and "number of its accelerators" not in said
    assert done.pipeline.platforms is None
    accelerator["resourceCount"] = "4"
    (said,) = (e.sentence for e in fused(graph.pipeline()).entries if e.task == "detect")
    assert "the number of its accelerators, 4 (a function has one device)" in said


def test_a_config_that_names_a_members_output_follows_it(graph: Any, fused: Any) -> None:
    graph.chain(GROUP).add("look", "look", artifacts={"frames": artifact("decode", "frames")})
    reference = {"taskOutputParameter": {"producerTask": "write", "outputParameterKey": "count"}}
    graph.kubernetes["exec-look"] = {"configMapAsEnv": [{"configMapNameParameter": reference}]}
    done = fused(graph.pipeline())
    config = done.pipeline.platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-look"]
    assert config["configMapAsEnv"][0]["configMapNameParameter"] == {
        "taskOutputParameter": {"producerTask": "people", "outputParameterKey": "write--count"}
    }


def test_two_chains_of_one_graph_feed_each_other(graph: Any, fused: Any, payload: Any) -> None:
    one, two = {"name": "one", "kind": "group"}, {"name": "two", "kind": "group"}
    graph.chain(one)
    for name in ("detect", "write"):
        graph.marks[f"exec-{name}"]["chain"] = two
    done = fused(graph.pipeline())
    tasks = done.pipeline.spec["root"]["dag"]["tasks"]
    assert tasks["two"]["inputs"]["artifacts"] == {"detect--frames": artifact("one", "resize--frames")}
    assert tasks["two"]["dependentTasks"] == ["one"]
    assert "load-frames" in [f["type"] for f in payload(done, "exec-two").spec["chain"]["functions"]]


def test_placeholders_of_the_run_stay_what_they_are(graph: Any, fused: Any, payload: Any) -> None:
    graph.chain(GROUP)
    graph.tasks["decode"]["inputs"]["parameters"]["uri"] = constant("{{$.pipeline_job_uuid}}")
    done = fused(graph.pipeline())
    assert only_task(done)["inputs"]["parameters"]["decode--uri"] == constant("{{$.pipeline_job_uuid}}")


def _detour(graph: Any) -> None:
    graph.add("look", "look", artifacts={"frames": artifact("decode", "frames")})
    graph.tasks["resize"]["inputs"]["artifacts"]["frames"] = artifact("look", "frames")
    graph.tasks["resize"]["dependentTasks"] = ["look"]


def _importer(graph: Any) -> None:
    graph.executors["exec-decode"] = {"importer": {"artifactUri": {"constant": "s3://a/b"}}}


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        (_detour, "p.root.look", "put it into the chain"),
        (_importer, "p.root.decode", "importer"),
        (lambda g: g.marks["exec-detect"].update(function="detect-persons"), "p.root.detect", "did you mean"),
        (lambda g: g.marks["exec-detect"].update(treshold=1), "p.root.detect", "unknown field"),
        (
            lambda g: g.marks["exec-detect"].update(parameters={"treshold": {"value": 1.0}}),
            "p.root.detect",
            "did you mean",
        ),
        (lambda g: g.marks["exec-detect"].update(rate=-1.0), "p.root.detect", "rate"),
        (lambda g: g.marks["exec-detect"].update(inputs={"frames": "pictures"}), "p.root.detect", "pictures"),
        (lambda g: g.marks["exec-detect"].update(results={"number": "frames"}), "p.root.detect", "number"),
        (lambda g: g.marks["exec-detect"].update(placement={"deviceTypes": "gpu"}), "p.root.detect", "list of names"),
        (lambda g: g.marks["exec-detect"]["chain"].update(rate=3.0), "p.root.detect", "differ"),
        (lambda g: g.tasks["resize"]["inputs"]["parameters"].update(width=constant(3.5)), "p.root.resize", "3.5"),
        (lambda g: g.tasks["resize"]["inputs"]["parameters"].update(width=constant(8.0)), "p.root.resize", "16"),
        (lambda g: g.tasks["resize"]["inputs"]["parameters"].pop("width"), "p.root.resize", "width"),
        (lambda g: g.tasks["detect"]["inputs"]["artifacts"].pop("frames"), "p.root.detect", "feeds port 'frames'"),
        (lambda g: g.tasks["detect"].update(triggerPolicy={"condition": "true"}), "p.root.detect", "condition"),
        (lambda g: g.tasks["detect"].update(parameterIterator={"itemInput": "x"}), "p.root.detect", "looped"),
        (lambda g: g.executors["exec-detect"]["container"].update(env=[{"name": "A"}]), "p.root.detect", "environment"),
        (lambda g: g.kubernetes.update({"exec-detect": {"secretAsEnv": [{}]}}), "p.root.detect", "secretAsEnv"),
        (
            lambda g: g.kubernetes.update({"exec-detect": {"nodeSelector": {"labels": {"zone": "a"}}}}),
            "p.root.detect",
            "node selector",
        ),
        (lambda g: g.kubernetes.update({"exec-detect": {"activeDeadlineSeconds": 5}}), "p.root.detect", "a timeout"),
        (
            lambda g: g.kubernetes.update(
                {f"exec-{n}": {"nodeSelector": {"labels": {"kubernetes.io/hostname": n}}} for n in ("resize", "detect")}
            ),
            "p.root.detect",
            "it may run on detect, others of its chain on resize: a chain runs on one node.",
        ),
        (
            lambda g: g.tasks["resize"]["inputs"]["parameters"].update(
                {"width": constant("{{$.inputs.parameters['pipelinechannel--n']}}"), "pipelinechannel--n": COUNT}
            ),
            "p.root.resize",
            "its parameter 'width' comes from a task of the chain",
        ),
        (
            lambda g: g.components["comp-resize"]["inputDefinitions"]["parameters"]["width"].update(
                parameterType="STRING"
            ),
            "p.root.resize",
            "its parameter 'width' is a STRING, and 'width' of its function is of type integer",
        ),
        (
            lambda g: g.tasks["write"]["inputs"].update(parameters={"labels": constant("x")}),
            "p.root.write",
            "its input 'labels' is nothing of",
        ),
        (
            lambda g: g.executors["exec-detect"]["container"].update(
                resources={"accelerator": {"resourceType": "cloud-tpus.google.com/v3"}}
            ),
            "p.root.detect",
            "neither",
        ),
    ],
)
def test_what_can_not_be_one_task_is_refused_by_a_sentence(
    graph: Any, types: Any, change: Any, where: str, words: str
) -> None:
    graph.chain(dict(GROUP))
    for mark in graph.marks.values():
        mark["chain"] = dict(GROUP)
    change(graph)
    with pytest.raises(core.FuseError) as refused:
        core.fuse(graph.pipeline(), types)
    assert any(p.startswith(f"{where}: ") and words in p for p in refused.value.problems), refused.value.problems
    assert all(p.endswith((".", "?")) for p in refused.value.problems)


def test_an_edge_of_the_wrong_type_names_the_task(graph: Any, types: Any) -> None:
    graph.chain(GROUP)
    graph.components["comp-write"]["inputDefinitions"]["artifacts"]["detections"] = {
        "artifactType": {"schemaTitle": "system.Frames", "schemaVersion": "0.0.1"}
    }
    graph.tasks["write"]["inputs"]["artifacts"]["detections"] = artifact("resize", "frames")
    with pytest.raises(core.FuseError, match=r"p\.root\.write: resize\.frames → write\.detections"):
        core.fuse(graph.pipeline(), types)


def test_a_parameter_that_a_member_tells_can_not_feed_another(graph: Any, types: Any) -> None:
    graph.chain(GROUP)
    graph.tasks["detect"]["inputs"]["parameters"]["threshold"] = {
        "taskOutputParameter": {"producerTask": "decode", "outputParameterKey": "x"}
    }
    with pytest.raises(core.FuseError, match="at the same time"):
        core.fuse(graph.pipeline(), types)
