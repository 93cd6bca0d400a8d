# SPDX-License-Identifier: Apache-2.0
"""Pipelines as KFP's compiler writes them, made by hand: a task a function, edges by what feeds what."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from accelchain.api.function_type import FunctionType
from accelchain.cli.installed import function_types
from accelchain.kfp import core

JsonObject = dict[str, Any]

FRAMES = {"artifactType": {"schemaTitle": "system.Frames", "schemaVersion": "0.0.1"}}
FOUND = {"artifactType": {"schemaTitle": "system.Detections", "schemaVersion": "0.0.1"}}
ANY = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}

COMPONENTS: Mapping[str, JsonObject] = {
    "decode": {
        "inputDefinitions": {
            "parameters": {
                "uri": {"parameterType": "STRING"},
                "frames": {"parameterType": "NUMBER_INTEGER", "defaultValue": 8.0, "isOptional": True},
            }
        },
        "outputDefinitions": {"artifacts": {"frames": FRAMES}},
    },
    "resize": {
        "inputDefinitions": {
            "parameters": {"width": {"parameterType": "NUMBER_INTEGER"}, "height": {"parameterType": "NUMBER_INTEGER"}},
            "artifacts": {"frames": FRAMES},
        },
        "outputDefinitions": {"artifacts": {"frames": FRAMES}},
    },
    "detect": {
        "inputDefinitions": {
            "parameters": {"threshold": {"parameterType": "NUMBER_DOUBLE"}},
            "artifacts": {"frames": FRAMES},
        },
        "outputDefinitions": {"artifacts": {"detections": FOUND}},
    },
    "write": {
        "inputDefinitions": {"artifacts": {"detections": FOUND}},
        "outputDefinitions": {
            "artifacts": {"lines": ANY},
            "parameters": {"count": {"parameterType": "NUMBER_INTEGER"}},
        },
    },
    "look": {
        "inputDefinitions": {"artifacts": {"frames": FRAMES}},
        "outputDefinitions": {
            "artifacts": {"frames": FRAMES},
            "parameters": {"mean": {"parameterType": "NUMBER_DOUBLE"}},
        },
    },
}
MARKS: Mapping[str, JsonObject] = {
    "decode": {"function": "decode-video"},
    "resize": {"function": "filter-resize"},
    "detect": {"function": "detect-person"},
    "write": {
        "function": "write-detections",
        "addresses": {"uri": {"output": "lines"}},
        "results": {"count": "detections"},
    },
}


def artifact(task: str, key: str) -> JsonObject:
    return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}


def parameter(task: str, key: str) -> JsonObject:
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}}


def constant(value: Any) -> JsonObject:
    return {"runtimeValue": {"constant": value}}


def outer(name: str) -> JsonObject:
    return {"componentInputParameter": name}


class Graph:
    """A pipeline in the making; each task has a component and an executor of its own, as KFP gives marked ones."""

    def __init__(self) -> None:
        self.tasks: dict[str, JsonObject] = {}
        self.components: dict[str, JsonObject] = {}
        self.executors: dict[str, JsonObject] = {}
        self.marks: dict[str, JsonObject] = {}
        self.kubernetes: dict[str, JsonObject] = {}
        self.outputs: JsonObject = {}
        self.defined: JsonObject = {
            "inputDefinitions": {
                "parameters": {"uri": {"parameterType": "STRING"}, "limit": {"parameterType": "NUMBER_DOUBLE"}}
            }
        }

    def add(
        self,
        name: str,
        kind: str,
        *,
        mark: bool | JsonObject = True,
        chain: Any = None,
        parameters: Mapping[str, JsonObject] | None = None,
        artifacts: Mapping[str, JsonObject] | None = None,
        **task: Any,
    ) -> Graph:
        """Add a task."""
        inputs = {"parameters": dict(parameters or {}), "artifacts": dict(artifacts or {})}
        waits = {s[f]["producerTask"] for side in inputs.values() for s in side.values()
                 for f in ("taskOutputArtifact", "taskOutputParameter") if f in s}  # fmt: skip
        after = sorted(waits | set(task.pop("after", ())))
        self.components[f"comp-{name}"] = {"executorLabel": f"exec-{name}", **copy.deepcopy(COMPONENTS[kind])}
        self.executors[f"exec-{name}"] = {"container": {"image": f"images/{kind}:1", "command": [kind]}}
        self.tasks[name] = {
            "taskInfo": {"name": name},
            "componentRef": {"name": f"comp-{name}"},
            "cachingOptions": {"enableCache": True},
            **({"inputs": {k: v for k, v in inputs.items() if v}} if any(inputs.values()) else {}),
            **({"dependentTasks": after} if after else {}),
            **task,
        }
        if mark is not False and kind in MARKS:
            own = copy.deepcopy(mark if isinstance(mark, dict) else MARKS[kind])
            self.marks[f"exec-{name}"] = own | ({"chain": chain} if chain else {})
        return self

    def chain(self, chain: Any = None, **options: Any) -> Graph:
        """Add the usual four: decode, resize, detect, write."""
        self.add("decode", "decode", chain=chain, parameters={"uri": outer("uri")}, **options)
        size = {"width": constant(300.0), "height": constant(300.0)}
        self.add("resize", "resize", chain=chain, parameters=size, artifacts={"frames": artifact("decode", "frames")})
        self.add(
            "detect",
            "detect",
            chain=chain,
            parameters={"threshold": outer("limit")},
            artifacts={"frames": artifact("resize", "frames")},
        )
        return self.add("write", "write", chain=chain, artifacts={"detections": artifact("detect", "detections")})

    def pipeline(self, nested: bool = False) -> core.Pipeline:
        """Return the pipeline; ``nested``: the tasks are a graph that the pipeline runs."""
        graph: JsonObject = {"dag": {"tasks": self.tasks, **({"outputs": self.outputs} if self.outputs else {})}}
        graph |= self.defined
        components = dict(self.components)
        root = graph
        if nested:
            components["comp-inner"] = graph
            given = {"parameters": {"uri": outer("uri"), "limit": outer("limit")}}
            task = {"taskInfo": {"name": "inner"}, "componentRef": {"name": "comp-inner"}, "inputs": given}
            root = {"dag": {"tasks": {"inner": task | {"cachingOptions": {"enableCache": True}}}}, **self.defined}
        spec = {
            "pipelineInfo": {"name": "p"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.3",
            "root": root,
            "components": components,
            "deploymentSpec": {"executors": self.executors},
        }
        platforms = {
            name: {"deploymentSpec": {"executors": given}}
            for name, given in (("dataflow", self.marks), ("kubernetes", self.kubernetes))
            if given
        }
        return core.Pipeline(copy.deepcopy(spec), {"platforms": platforms} if platforms else None)


@pytest.fixture(scope="session")
def types() -> Sequence[FunctionType]:
    return function_types(())


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def fused(types: Sequence[FunctionType]) -> Callable[..., core.Fused]:
    """Fuses, and holds every result to what always holds."""

    def run(pipeline: core.Pipeline, *more: FunctionType) -> core.Fused:
        before = copy.deepcopy(pipeline)
        done = core.fuse(pipeline, [*more, *types])
        assert pipeline == before, "the argument was changed"
        again = core.fuse(done.pipeline, [*more, *types])
        assert not again.changed and again.pipeline == done.pipeline, "it is not idempotent"
        assert core.read(core.write(done.pipeline), "x").spec == done.pipeline.spec
        valid(done.pipeline)
        return done

    return run


@pytest.fixture
def payload() -> Callable[[core.Fused, str], core.Payload]:
    """Returns what the launcher of an executor is told."""

    def of(done: core.Fused, label: str) -> core.Payload:
        arguments = done.pipeline.spec["deploymentSpec"]["executors"][label]["container"]["args"]
        return core.decode(arguments[arguments.index("--payload") + 1])

    return of


def valid(pipeline: core.Pipeline) -> None:
    """See that KFP's own protobufs take it, and that nothing in it leads nowhere."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    from accelchain.kfp.core.check import dangling

    json_format.ParseDict(pipeline.spec, pipeline_spec_pb2.PipelineSpec())
    if pipeline.platforms:
        json_format.ParseDict(pipeline.platforms, pipeline_spec_pb2.PlatformSpec())
    assert dangling(pipeline.spec) == []
    used = {t["componentRef"]["name"] for g in [pipeline.spec["root"], *pipeline.spec["components"].values()]
            for t in (g.get("dag") or {}).get("tasks", {}).values()}  # fmt: skip
    assert used == set(pipeline.spec["components"]), "a component that nobody uses is left"
    labels = {c["executorLabel"] for c in pipeline.spec["components"].values() if "executorLabel" in c}
    assert labels == set(pipeline.spec["deploymentSpec"]["executors"]), "an executor that nobody uses is left"
    for platform in (pipeline.platforms or {"platforms": {}})["platforms"].values():
        assert set(platform["deploymentSpec"]["executors"]) <= labels
