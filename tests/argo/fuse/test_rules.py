# SPDX-License-Identifier: Apache-2.0
"""The fifteen rules: for each a workflow that it lets pass, and one that it stops."""

# ruff: noqa: E501  (one row a case is easier to read than one that is folded)
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from accelchain.argo.fuse import Functions, fuse, restored

Json = dict[str, Any]
Change = Callable[[Json], None]


def leaf(name: str, function: str, args: list[str], reads: list[Json], writes: list[Json], ephemeral: str = "") -> Json:
    notes = {"accelchain.io/function": function} | ({"accelchain.io/ephemeral": ephemeral} if ephemeral else {})
    command = ["accelchain", "step", function]
    return {
        "name": name,
        "metadata": {"annotations": notes},
        "inputs": {"artifacts": reads, "parameters": [{"name": "by", "default": "1"}]},
        "outputs": {"artifacts": writes},
        "container": {"image": "worker:1", "command": command, "args": args},
    }


def frames(side: str) -> Json:
    return {"name": "numbers", "path": f"/tmp/{side}/numbers"} | ({"archive": {"none": {}}} if side == "out" else {})


IN, OUT = "numbers={{inputs.artifacts.numbers.path}}", "numbers={{outputs.artifacts.numbers.path}}"
VIDEO = {"name": "video", "path": "/tmp/in/video"}
RESULT = {"name": "result", "path": "/tmp/out/result", "archive": {"none": {}}, "s3": {"key": "out/{{workflow.name}}"}}
LEAVES = [
    leaf("read", "read-numbers", ["--uri", "/tmp/in/video", "--output", OUT], [VIDEO], [frames("out")], "numbers"),
    leaf(
        "add",
        "add",
        ["--by={{inputs.parameters.by}}", "--input", IN, "--output", OUT],
        [frames("in")],
        [frames("out")],
        "numbers",
    ),
    leaf("write", "write-numbers", ["--input", IN, "--uri", "/tmp/out/result"], [frames("in")], [RESULT]),
]


def edge(step: str) -> Json:
    return {"artifacts": [{"name": "numbers", "from": f"{{{{tasks.{step}.outputs.artifacts.numbers}}}}"}]}


def workflow() -> Json:
    """Return read → add → write, and a step beside them."""
    tasks = [
        {"name": "a", "template": "read", "arguments": {"artifacts": [{"name": "video", "s3": {"key": "in"}}]}},
        {"name": "b", "template": "add", "depends": "a", "arguments": edge("a")},
        {"name": "c", "template": "write", "depends": "b.Succeeded", "arguments": edge("b")},
        {"name": "beside", "template": "other"},
    ]
    other = {"name": "other", "inputs": {"parameters": [{"name": "x", "default": ""}]}, "container": {"image": "x"}}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "dag": {"tasks": tasks}}, *LEAVES, other]}
    kind = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}
    return copy.deepcopy({**kind, "spec": spec})


def part(document: Json, name: str) -> Json:
    """Return a task or a template of the workflow by name: ``a``, ``add``."""
    tasks = document["spec"]["templates"][0]["dag"]["tasks"]
    found: Json = next(p for p in (*tasks, *document["spec"]["templates"]) if p["name"] == name)
    return found


def put(name: str, **fields: Any) -> Change:
    return lambda document: part(document, name).update(copy.deepcopy(fields))


def everywhere(**fields: Any) -> Change:
    def change(document: Json) -> None:
        for name in ("read", "add", "write"):
            part(document, name).update(fields)

    return change


def spec(**fields: Any) -> Change:
    return lambda document: document["spec"].update(fields)


def note(name: str, **notes: str) -> Change:
    given = {f"accelchain.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    return lambda document: part(document, name)["metadata"]["annotations"].update(given)


def in_container(name: str, **fields: Any) -> Change:
    return lambda document: part(document, name)["container"].update(fields)


def of(*changes: Change) -> Change:
    def all_of_them(document: Json) -> None:
        for change in changes:
            change(document)

    return all_of_them


def unannotated(image: str) -> Change:
    def change(document: Json) -> None:
        del part(document, "add")["metadata"]["annotations"]["accelchain.io/function"]
        part(document, "add")["container"]["image"] = image

    return change


def artifact(name: str, side: str, **fields: Any) -> Change:
    return lambda document: part(document, name)[side]["artifacts"][0].update(fields)


def argument(task: str, value: str) -> Change:
    return lambda document: part(document, task)["arguments"].update(parameters=[{"name": "by", "value": value}])


def by_name(document: Json) -> None:
    for name, before in (("b", "a"), ("c", "b")):
        del part(document, name)["depends"]
        part(document, name)["dependencies"] = [before]


def made_by(**output: Any) -> Change:
    """Return a change after which the video is an output of the step beside."""

    def change(document: Json) -> None:
        part(document, "other")["outputs"] = {"artifacts": [{"name": "v", "path": "/v", **output}]}
        source = {"name": "video", "from": "{{tasks.beside.outputs.artifacts.v}}"}
        part(document, "a").update(depends="beside", arguments={"artifacts": [source]})

    return change


def inputs(name: str, *parameters: Json) -> Change:
    return lambda document: part(document, name)["inputs"].update(parameters=list(parameters))


IDEMPOTENT = of(*(note(name, idempotent="true") for name in ("read", "add", "write")))
ARGS = ["--by", "{{inputs.parameters.by}}", "--input", IN, "--output", OUT]

PASS: list[tuple[int, str, Change]] = [
    (1, "an image with its digest", unannotated("add@sha256:ab")),
    (2, "dependencies by name", by_name),
    (2, "the last step has followers", put("beside", depends="c && c.Succeeded")),
    (3, "a loop beside", put("beside", withItems=[1])),
    (
        4,
        "a condition on the first, with guarded followers",
        of(put("a", when="1 == 2"), put("b", depends="a.Succeeded")),
    ),
    (5, "a reaction beside", put("beside", continueOn={"failed": True})),
    (
        6,
        "the last step's artifact is used",
        put(
            "beside",
            depends="c",
            arguments={"artifacts": [{"name": "x", "from": "{{tasks.c.outputs.artifacts.result}}"}]},
        ),
    ),
    (7, "a parameter of the template around", argument("b", "{{workflow.name}}")),
    (
        8,
        "a source in http",
        lambda d: part(d, "a")["arguments"].update(artifacts=[{"name": "video", "http": {"url": "http://x/y"}}]),
    ),
    (8, "a source that a Pod made, in Argo's own archive", made_by()),
    (8, "a source that a Pod made, under a key of its own", made_by(s3={"key": "x.tgz"})),
    (
        9,
        "no sidecar, said so",
        lambda d: part(d, "add")["metadata"].update(labels={"sidecar.istio.io/inject": "false"}),
    ),
    (9, "equal attempts of functions that allow them", of(everywhere(retryStrategy={"limit": 2}), IDEMPOTENT)),
    (
        10,
        "literal environment, all accounted for",
        of(in_container("add", env=[{"name": "A", "value": "b"}]), note("add", parameters='{"by": 3}')),
    ),
    (11, "times that are added up", everywhere(timeout="30s", activeDeadlineSeconds=5)),
    (12, "one node, named", spec(nodeSelector={"kubernetes.io/hostname": "n1"})),
    (
        13,
        "words with a variable of the workflow",
        in_container("add", args=["--by", "{{workflow.parameters.by}}", *ARGS[2:]]),
    ),
    (13, "an expression of the template around", argument("b", "{{=asInt(workflow.parameters.by) + 1}}")),
    (
        13,
        "a default with a variable of the workflow",
        inputs("add", {"name": "by", "default": "{{workflow.parameters.by}}"}),
    ),
    (14, "a limit on a template beside", put("other", parallelism=1)),
    (15, "no side effects, said so", note("add", side_effects="false")),
]
STOP: list[tuple[int, str, Change]] = [
    (1, "an image with a tag", unannotated("add:latest")),
    (1, "a function that is not there", note("add", function="subtract")),
    (1, "a version that is not there", note("add", function="add@9.0.0")),
    (2, "a second dependency", put("b", depends="a && beside")),
    (2, "a second follower", put("beside", depends="a")),
    (2, "a state that is no success", put("b", depends="a.Failed")),
    (2, "an alternative", put("b", depends="a || a.Failed")),
    (2, "an inner step is a target", lambda d: d["spec"]["templates"][0]["dag"].update(target="b")),
    (2, "a follower that waits for the failure", put("beside", depends="c.Failed")),
    (3, "items", put("b", withItems=[1, 2])),
    (3, "a parameter's items", put("b", withParam="[1]")),
    (3, "a sequence", put("b", withSequence={"count": "2"})),
    (4, "a condition within", put("b", when="1 == 1")),
    (4, "a condition whose followers would run", put("a", when="1 == 2")),
    (5, "goes on after a failure", put("b", continueOn={"failed": True})),
    (5, "hooks", put("b", hooks={"running": {"template": "other", "expression": "true"}})),
    (5, "an exit handler", spec(onExit="main")),
    (6, "an inner state is used", put("beside", depends="c", when="{{tasks.b.status}} == Succeeded")),
    (6, "an inner artifact leaves the dag", lambda d: d["spec"]["templates"][0].update(outputs={"artifacts": [{"name": "n", "from": "{{tasks.b.outputs.artifacts.numbers}}"}]})),
    (6, "an expression names it", put("beside", depends="c", arguments={"parameters": [{"name": "x", "value": "{{=tasks['b'].status}}"}]})),
    (6, "an expression that may name any", put("beside", depends="c", arguments={"parameters": [{"name": "x", "value": "{{=toJson(tasks)}}"}]})),
    (6, "a hook of the workflow names it", spec(hooks={"x": {"template": "other", "expression": "tasks.b.status == 'Failed'"}})),
    (6, "a global output", artifact("add", "outputs", globalName="g")),
    (6, "the last one's standard output", put("beside", depends="c", when="{{tasks.c.outputs.result}} == 1")),
    (7, "an artifact that others may need", note("add", ephemeral="")),
    (7, "a parameter of the step before", argument("b", "{{tasks.a.id}}")),
    (7, "an artifact that is used twice", argument("b", "{{tasks.a.outputs.artifacts.numbers}}")),
    (8, "a place that is not known", lambda d: part(d, "a").pop("arguments")),
    (8, "a place that no DataFlow reads", lambda d: part(d, "a")["arguments"].update(artifacts=[{"name": "video", "raw": {"data": "1"}}])),
    (8, "a result in an archive", lambda d: part(d, "write")["outputs"]["artifacts"][0].pop("archive")),
    (8, "an optional input", artifact("read", "inputs", optional=True)),
    (8, "output parameters from a file", lambda d: part(d, "write")["outputs"].update(parameters=[{"name": "n", "valueFrom": {"path": "/n"}}])),
    (8, "a zip", lambda d: part(d, "a")["arguments"].update(artifacts=[{"name": "video", "s3": {"key": "in.zip"}}])),
    (8, "a zip that a Pod made", made_by(archive={"zip": {}})),
    (8, "an archive that a Pod made, and its key does not say so", made_by(s3={"key": "x.mp4"})),
    (9, "attempts that a parameter counts", of(everywhere(retryStrategy={"limit": "{{inputs.parameters.by}}"}), IDEMPOTENT)),
    (9, "a sidecar that is injected", lambda d: part(d, "add")["metadata"].update(labels={"sidecar.istio.io/inject": "true"})),
    (9, "a sidecar that is injected everywhere", spec(podMetadata={"annotations": {"linkerd.io/inject": "enabled"}})),
    (9, "names of hosts", spec(hostAliases=[{"ip": "127.0.0.1", "hostnames": ["x"]}])),
    (9, "attempts of a function that may not be repeated", everywhere(retryStrategy={"limit": 2})),
    (9, "different attempts", of(put("add", retryStrategy={"limit": 2}), IDEMPOTENT)),
    (9, "attempts by default", spec(templateDefaults={"retryStrategy": {"limit": 2}})),
    (9, "another account", put("add", serviceAccountName="other")),
    *((9, field, put("add", **{field: value})) for field, value in (
        ("memoize", {"key": "k"}), ("synchronization", {"mutexes": [{"name": "m"}]}), ("daemon", True),
        ("metrics", {"prometheus": []}), ("sidecars", [{"name": "s"}]), ("initContainers", [{"name": "i"}]),
        ("podSpecPatch", "{}"), ("archiveLocation", {"archiveLogs": True}), ("securityContext", {"runAsUser": 1}),
    )),
    (9, "a probe", in_container("add", livenessProbe={"exec": {"command": ["true"]}})),
    (9, "a patch of all Pods", spec(podSpecPatch="{}")),
    (10, "a volume", in_container("add", volumeMounts=[{"name": "v", "mountPath": "/v"}])),
    (10, "a secret", in_container("add", env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])),
    (10, "a variable that nobody accounts for", in_container("add", env=[{"name": "A", "value": "b"}])),
    (11, "one time only", put("add", timeout="30s")),
    (11, "a time that is not known", everywhere(timeout="{{workflow.parameters.t}}")),
    (12, "a selector that is no name", everywhere(nodeSelector={"gpu": "yes"})),
    (12, "tolerations", put("add", tolerations=[{"key": "x"}])),
    (12, "different nodes", put("add", nodeSelector={"kubernetes.io/hostname": "n2"})),
    (13, "the Pod's name", in_container("add", args=["--by", "{{pod.name}}", *ARGS[2:]])),
    (13, "an expression", in_container("add", args=["--by", "{{=1 + 1}}", *ARGS[2:]])),
    (13, "a word that is nothing", in_container("add", args=[*ARGS, "--verbose"])),
    (13, "a parameter that is none", in_container("add", args=[*ARGS, "--speed", "3"])),
    (13, "a value that does not fit", argument("b", "9999")),
    *((13, f"an argument with {tag}", argument("b", tag)) for tag in (
        "{{pod.name}}", "{{retries}}", "{{node.name}}", "{{tasks.name}}", "{{=pod.name}}", "{{=workflow.duration}}",
    )),
    (13, "a default with a parameter of its own", inputs("add", {"name": "by", "default": "{{inputs.parameters.x}}"}, {"name": "x", "default": "1"})),
    (13, "a variable of Kubernetes", in_container("add", args=["--by", "$(BY)", *ARGS[2:]])),
    (14, "the workflow's limit", spec(parallelism=2)),
    (14, "the template's limit", lambda d: d["spec"]["templates"][0].update(parallelism=2)),
    (14, "goes on after a failure", lambda d: d["spec"]["templates"][0]["dag"].update(failFast=False)),
    (15, "side effects", note("add", side_effects="true")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "what", "change"), PASS, ids=[f"{rule}: {what}" for rule, what, _ in PASS])
def test_a_rule_lets_pass(rule: int, what: str, change: Change, functions: Functions) -> None:
    document = workflow()
    change(document)
    entries = {entry.step: entry for entry in fuse(document, "w", functions).entries}
    assert [entries[step].outcome for step in "abc"] == ["fused"] * 3, entries


@pytest.mark.parametrize(("rule", "what", "change"), STOP, ids=[f"{rule}: {what}" for rule, what, _ in STOP])
def test_a_rule_stops(rule: int, what: str, change: Change, functions: Functions) -> None:
    document = workflow()
    change(document)
    found = fuse(document, "w", functions)
    assert not found.changed and found.document == document
    assert [entry.outcome for entry in found.entries] == ["kept"] * 4
    assert rule in {entry.rule for entry in found.entries if entry.step in "abc"}, found.entries
    assert all(entry.sentence.endswith((".", "?")) for entry in found.entries)


def test_what_a_fused_step_is(functions: Functions) -> None:
    document = workflow()
    of(everywhere(retryStrategy={"limit": 2}, timeout="30s"), IDEMPOTENT, argument("b", "{{workflow.parameters.by}}"))(
        document
    )
    put("a", depends="beside", when="1 == 1")(document)
    put("b", depends="a.Succeeded")(document)
    fused = fuse(document, "w", functions).document["spec"]["templates"]
    assert fused[0]["dag"]["tasks"] == [
        {
            "name": "c",
            "template": "a-to-c",
            "arguments": {
                "parameters": [{"name": "by", "value": "{{workflow.parameters.by}}"}],
                "artifacts": [{"name": "video", "s3": {"key": "in"}}],
            },
            "depends": "beside",
            "when": "1 == 1",
        },
        {"name": "beside", "template": "other"},
    ]
    assert fused[-1]["timeout"] == "90s" and fused[-1]["retryStrategy"] == {"limit": 2}
    assert fused[-1]["plugin"]["accelchain"] == {
        "node": "{{node.name}}",
        "attempt": "{{retries}}",
        "dataflow": {
            "chain": {
                "inputs": [{"name": "video"}],
                "outputs": [{"name": "result"}],
                "functions": [
                    {"name": "a", "type": "read-numbers", "parameters": {"uri": "$(inputs.video.uri)"}},
                    {"name": "b", "type": "add", "parameters": {"by": "{{inputs.parameters.by}}"}},
                    {"name": "c", "type": "write-numbers", "parameters": {"uri": "$(outputs.result.uri)"}},
                ],
                "connections": [{"from": "a.numbers", "to": "b.numbers"}, {"from": "b.numbers", "to": "c.numbers"}],
            }
        },
    }


@pytest.mark.parametrize(("value", "number"), [(1.0, 1), (1e2, 100), (True, None), ("7", 7), (12, 12)])
def test_numbers_are_what_argo_makes_of_them(value: Any, number: int | None, functions: Functions) -> None:
    document = workflow()
    part(document, "b")["arguments"]["parameters"] = [{"name": "by", "value": value}]
    fused = fuse(document, "w", functions)
    if number is None:
        assert not fused.changed
    else:
        chain = fused.document["spec"]["templates"][-1]["plugin"]["accelchain"]["dataflow"]["chain"]
        assert chain["functions"][1]["parameters"]["by"] == number


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"annotations": None}}])
def test_metadata_comes_back_as_it_was(metadata: Json, functions: Functions) -> None:
    document = workflow()
    del document["metadata"]
    document |= metadata
    fused = fuse(document, "w", functions)
    assert fused.changed and restored(fused.document) == document


def long_chain(middle: int) -> Json:
    """Return read → add → … → add → write."""
    document = workflow()
    tasks = [part(document, "a")]
    for i in range(middle):
        before = tasks[-1]["name"]
        tasks.append({"name": f"b{i}", "template": "add", "depends": before, "arguments": edge(before)})
    before = tasks[-1]["name"]
    tasks.append({"name": "c", "template": "write", "depends": before, "arguments": edge(before)})
    document["spec"]["templates"][0]["dag"]["tasks"] = tasks
    return document


def test_a_chain_is_as_long_as_a_dataflow_may_be(functions: Functions) -> None:
    assert {entry.outcome for entry in fuse(long_chain(62), "w", functions).entries} == {"fused"}
    entries = fuse(long_chain(63), "w", functions).entries
    assert {entry.outcome for entry in entries} == {"kept"}
    assert "at most 64" in entries[0].sentence


def test_steps_that_wait_for_each_other_stay(functions: Functions) -> None:
    document = workflow()
    part(document, "b").update(depends="c", arguments=edge("c"))
    found = fuse(document, "w", functions)
    assert not found.changed and all(entry.rule for entry in found.entries)


def test_the_nearest_reason_is_told(functions: Functions) -> None:
    document = workflow()
    made_by(archive={"zip": {}})(document)
    told = {entry.step: entry.sentence for entry in fuse(document, "w", functions).entries}
    zipped = "its artifact 'video' is stored as a zip: write archive: {none: {}} in 'beside'."
    assert told["a"] == zipped and told["c"] == f"its chain stops at 'a': {zipped}"


@pytest.mark.parametrize(
    ("change", "step", "sentence"),
    [
        (put("b", arguments={"artifacts": [{**edge("a")["artifacts"][0], "subPath": "x"}]}), "b",
         "its artifact 'numbers' has subPath: a DataFlow hands on what 'a' gives as it is."),
        (put("b", arguments={"artifacts": [{"name": "numbers", "fromExpression": "tasks.a.outputs.artifacts.numbers"}]}),
         "b", "its artifact 'numbers' has fromExpression: a DataFlow hands on what 'a' gives as it is."),
        (put("b", arguments={"artifacts": [{"name": "numbers", "s3": {"key": "x"}}]}), "b",
         "no artifact goes from 'a' into one of its inputs."),
        (put("b", arguments={**edge("a"), "parameters": [{"name": "by", "value": "x"}]}), "b",
         "its parameter 'by': \"x\" is a string, an integer is wanted."),
        (put("add", activeDeadlineSeconds=5), "a",
         "others of the chain have activeDeadlineSeconds, and it has none."),
    ],
    ids=["subPath", "expression", "elsewhere", "value", "deadline"],
)  # fmt: skip
def test_a_reason_says_where_and_what(change: Change, step: str, sentence: str, functions: Functions) -> None:
    document = workflow()
    change(document)
    told = {entry.step: entry.sentence for entry in fuse(document, "w", functions).entries}
    assert told[step] == sentence
    for other in {"a", "b", "c"} - {step}:
        assert told[other] in (sentence, f"its chain stops at '{step}': {sentence}")


def test_a_step_that_is_a_dataflow_by_itself_is_retargeted(functions: Functions) -> None:
    document = workflow()
    args = ["--uri", "/tmp/in/video", "--to", "/tmp/out/result"]
    document["spec"]["templates"][1] = leaf("read", "report", args, [VIDEO], [RESULT])
    document["spec"]["templates"][0]["dag"]["tasks"] = [part(document, "a")]
    found = fuse(document, "w", functions)
    assert [(entry.step, entry.outcome) for entry in found.entries] == [("a", "re-targeted")]


@pytest.mark.parametrize(
    ("taken", "made", "ports"),
    [
        ("pictures", "pictures", '{"numbers": "pictures"}'),
        ("pictures", "small", '{"numbers": "pictures"}'),
        ("pictures", "small", '{"inputs.numbers": "pictures", "outputs.numbers": "small"}'),
        ("pictures", "small", "{}"),
    ],
)
def test_an_input_and_an_output_of_one_name_may_have_artifacts_of_any(
    taken: str, made: str, ports: str, functions: Functions
) -> None:
    document = workflow()
    add = part(document, "add")
    add["metadata"]["annotations"] |= {
        "accelchain.io/parameters": '{"by": "{{inputs.parameters.by}}"}',
        "accelchain.io/ports": ports,
        "accelchain.io/ephemeral": made,
    }
    add["inputs"]["artifacts"][0]["name"], add["outputs"]["artifacts"][0]["name"] = taken, made
    part(document, "b")["arguments"]["artifacts"][0]["name"] = taken
    part(document, "c")["arguments"] = {
        "artifacts": [{"name": "numbers", "from": f"{{{{tasks.b.outputs.artifacts.{made}}}}}"}]
    }
    found = fuse(document, "w", functions)
    assert [entry.outcome for entry in found.entries[:3]] == ["fused"] * 3, [entry.sentence for entry in found.entries]
    assert restored(found.document) == document
