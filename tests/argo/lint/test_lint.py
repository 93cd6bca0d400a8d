# SPDX-License-Identifier: Apache-2.0
"""`accelchain validate` on Argo's documents: every fault is told, with its file, document, template and field."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from accelchain.argo.core.yaml_text import write
from accelchain.argo.lint import Document, Known, lint, load
from accelchain.cli.commands import cli
from accelchain.cli.installed import function_types

JsonObject = dict[str, Any]

CHAIN: JsonObject = {
    "parameters": [{"name": "width", "type": "integer", "default": 300}, {"name": "filter"}],
    "inputs": [{"name": "video"}],
    "outputs": [{"name": "small"}],
    "functions": [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)"}},
        {"name": "resize", "type": "filter-resize", "parameters": {"width": "$(parameters.width)", "height": 300}},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.small.uri)"}},
    ],
    "connections": [
        {"from": "decode.frames", "to": "resize.frames"},
        {"from": "resize.frames", "to": "encode.frames"},
    ],
}
FLOW: JsonObject = {
    "chain": CHAIN,
    "inputs": {"video": {"uri": "{{inputs.parameters.video}}"}},
    "outputs": {"small": {"uri": "s3://results/{{workflow.name}}.mp4"}},
}
STEP: JsonObject = {
    "name": "shrink",
    "inputs": {"parameters": [{"name": "video"}]},
    "plugin": {"accelchain": {"node": "{{node.name}}", "dataflow": FLOW}},
    "outputs": {"parameters": [{"name": "frames", "valueFrom": {"supplied": {}}}]},
}
BODY = "plugin.accelchain"


def changed(value: JsonObject, path: str, new: Any) -> JsonObject:
    """The same with one field set; ``...`` takes it out."""
    made = copy.deepcopy(value)
    *folders, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    at: Any = made
    for part in folders:
        at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
    if new is ...:
        del at[last]
    else:
        at[last] = new
    return made


def workflow(*templates: JsonObject, **spec: Any) -> JsonObject:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "shrink-"},
        "spec": {"entrypoint": templates[0]["name"], "templates": list(templates), **spec},
    }


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write each argument (a document, or a list of them) into a file of its own, and validate all."""
    monkeypatch.chdir(tmp_path)
    numbers = itertools.count(1)

    def run(*contents: Any, options: tuple[str, ...] = ()) -> Result:
        files = []
        for content in contents:
            files.append(f"{next(numbers)}.yaml")
            documents = content if isinstance(content, list) else [content]
            Path(files[-1]).write_text(yaml.safe_dump_all(documents))
        return CliRunner().invoke(cli, ["validate", *files, *options])

    return run


def sentences(done: Result) -> list[str]:
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done.stderr.splitlines()


def test_a_good_step_is_valid_though_its_values_are_unknown(validate: Any) -> None:
    done = validate(workflow(STEP))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "1 step of accelchain, valid" in done.stdout


@pytest.mark.parametrize(
    ("path", "value", "field", "said"),
    [
        ("node", ..., f"{BODY}.node", "{{node.name}}"),
        ("node", "{{pod.name}}", f"{BODY}.node", "{{node.name}}"),
        ("node", "shrink", f"{BODY}.node", "{{node.name}}"),
        ("dataflow", ..., f"{BODY}.dataflow", "spec of a DataFlow"),
        ("dataflows", {}, f"{BODY}.dataflows", "did you mean 'dataflow'"),
        ("completeWhen", "Ended", f"{BODY}.completeWhen", "Running"),
        ("dataflow/dryRun", True, f"{BODY}.dataflow.dryRun", "take it out"),
        ("dataflow/ttlSecondsAfterFinished", 5, f"{BODY}.dataflow.ttlSecondsAfterFinished", "300"),
        ("dataflow/chain/functions/1/type", "resiz", f"{BODY}.dataflow.chain.functions[1].type", "filter-resize"),
        ("dataflow/chain/connections/0/to", "resize.frame", f"{BODY}.dataflow.chain.connections[0].to", "frames"),
        ("dataflow/parameters", {"widht": 3}, f"{BODY}.dataflow.parameters.widht", "did you mean 'width'"),
        ("dataflow/parameters", {"widht": "{{workflow.parameters.w}}"}, f"{BODY}.dataflow.parameters.widht", "'width'"),
        ("dataflow/parameters", {"width": "{{inputs.parameters.vidoe}}"}, f"{BODY}.dataflow.parameters.width", "video"),
        ("dataflow/parameters", {"width": "{{tasks.a.outputs.x}}"}, f"{BODY}.dataflow.parameters.width", "tasks.a"),
        ("dataflow/parameters", {"width": "wide"}, f"{BODY}.dataflow.parameters.width", "integer"),
        ("dataflow/parameters", {"width": "3"}, f"{BODY}.dataflow.parameters.width", "below the minimum"),
        ("dataflow/inputs", {}, f"{BODY}.dataflow.inputs.video", "inputs.artifacts 'video'"),
        ("dataflow/inputs", {"film": {"uri": "s3://a/b"}}, f"{BODY}.dataflow.inputs.film", "choose from: video"),
        ("dataflow/outputs/small/uri", "file:///out.mp4", f"{BODY}.dataflow.outputs.small.uri", "volumes"),
        ("results", {"size": "encode.bytes"}, f"{BODY}.results.size", "declares no such output parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_body_is_told_at_its_field(
    validate: Any, path: str, value: Any, field: str, said: str
) -> None:
    done = validate(workflow(changed(STEP, f"plugin/accelchain/{path}", value)))
    assert done.exit_code == 2
    told = [line for line in sentences(done) if line.startswith("Error: 1.yaml: Workflow/shrink- template shrink: ")]
    assert any(f": {field}: " in line and said in line for line in told), done.stderr


@pytest.mark.parametrize(
    ("path", "value", "field", "said"),
    [
        ("plugin/other", {}, "plugin", "one key"),
        ("timeout", "10 minutes", "timeout", "1h30m"),
        ("activeDeadlineSeconds", 0, "activeDeadlineSeconds", "above zero"),
        ("outputs/parameters/0/valueFrom", ..., "outputs.parameters[0]", "supplied"),
        ("outputs/parameters/0/valueFrom", {"default": "1"}, "outputs.parameters[0].valueFrom", "supplied"),
        ("outputs/parameters/0/name", "frame", "outputs.parameters[0].name", "did you mean 'frames'"),
        ("outputs/parameters/0/name", "resise.sum", "outputs.parameters[0].name", "resise.sum"),
        ("retryStrategy", {"limit": 2}, f"{BODY}.attempt", "{{retries}}"),
        ("inputs/artifacts", [{"name": "vido", "path": "/tmp/a"}], "inputs.artifacts[0].name", "did you mean 'video'"),
        ("outputs/artifacts", [{"name": "small"}], "outputs.artifacts[0]", "path"),
        ("outputs/artifacts", [{"name": "big", "path": "/tmp/a"}], "outputs.artifacts[0].name", "small"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_template_is_told_at_its_field(
    validate: Any, path: str, value: Any, field: str, said: str
) -> None:
    done = validate(workflow(changed(STEP, path, value)))
    assert done.exit_code == 2
    assert any(f"template shrink: {field}: " in line and said in line for line in sentences(done)), done.stderr


def test_artifacts_stand_for_addresses(validate: Any) -> None:
    step = changed(STEP, "plugin/accelchain/dataflow/inputs", ...)
    step = changed(step, "plugin/accelchain/dataflow/outputs", ...)
    step = changed(step, "inputs/artifacts", [{"name": "video", "path": "/tmp/video"}])
    key = {"key": "{{inputs.parameters.video}}/{{workflow.name}}.mp4"}
    step = changed(step, "outputs/artifacts", [{"name": "small", "path": "/tmp/small", "s3": key}])
    assert validate(workflow(step)).exit_code == 0
    stored = changed(step, "outputs/artifacts/0", {"name": "small", "path": "/tmp/small", "gcs": {"key": "x"}})
    assert "outputs.artifacts[0].gcs: " in validate(workflow(stored)).stderr


def test_all_problems_of_all_files_are_told_at_once(validate: Any) -> None:
    first = changed(changed(STEP, "plugin/accelchain/node", ...), "plugin/accelchain/dataflow/mode", "Batchy")
    first = changed(first, "plugin/accelchain/dataflow/chain/functions/0/typ", "x")
    second = {**changed(STEP, "timeout", "soon"), "name": "other"}
    done = validate(workflow(first), workflow(second))
    lines = sentences(done)
    fields = (f"{BODY}.node", f"{BODY}.dataflow.mode", f"{BODY}.dataflow.chain.functions[0].typ")
    for field in fields:
        assert sum(f"1.yaml: Workflow/shrink- template shrink: {field}: " in line for line in lines) == 1, done.stderr
    assert sum("2.yaml: Workflow/shrink- template other: timeout: " in line for line in lines) == 1
    assert len(lines) == 4


def test_default_attempts_ask_for_their_number_too(validate: Any) -> None:
    defaults = {"retryStrategy": {"limit": 1}}
    done = validate(workflow(STEP, templateDefaults=defaults))
    assert f"{BODY}.attempt: " in done.stderr
    fixed = changed(STEP, "plugin/accelchain/attempt", "0")
    assert "same for each attempt" in validate(workflow(fixed, templateDefaults=defaults)).stderr
    good = changed(STEP, "plugin/accelchain/attempt", "{{retries}}")
    assert validate(workflow(good, templateDefaults=defaults)).exit_code == 0


def test_numbers_and_booleans_may_be_variables(validate: Any) -> None:
    step = changed(STEP, "plugin/accelchain/dataflow/activeDeadlineSeconds", "{{inputs.parameters.video}}")
    step = changed(step, "plugin/accelchain/dataflow/rate", {"framesPerSecond": "{{workflow.parameters.rate}}"})
    step = changed(step, "plugin/accelchain/dataflow/suspend", "{{=inputs.parameters.video == 'x'}}")
    step = changed(step, "plugin/accelchain/dataflow/parameters", {"width": "{{inputs.parameters.video}}"})
    done = validate(workflow(step))
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_chain_of_another_file_is_known(validate: Any) -> None:
    chain = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "FunctionChain",
        "metadata": {"name": "shrink"},
        "spec": CHAIN,
    }
    step = changed(STEP, "plugin/accelchain/dataflow/chain", ...)
    step = changed(step, "plugin/accelchain/dataflow/chainRef", {"name": "shrink"})
    assert validate(workflow(step), chain).exit_code == 0
    assert validate([workflow(step), chain]).exit_code == 0
    wrong = changed(step, "plugin/accelchain/dataflow/parameters", {"widht": 1})
    assert "did you mean 'width'" in validate(workflow(wrong), chain).stderr
    alone = validate(workflow(wrong))
    assert alone.exit_code == 0  # nobody knows the chain
    assert "Warning: " in alone.stderr and "FunctionChain 'shrink'" in alone.stderr


def test_our_own_documents_are_checked_beside_workflows(validate: Any) -> None:
    flow = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "DataFlow",
        "metadata": {"name": "one"},
        "spec": {**FLOW, "inputs": {"video": {"uri": "in.mp4"}}, "outputs": {"smal": {"uri": "out.mp4"}}},
    }
    done = validate([workflow(STEP), flow])
    assert "1.yaml: DataFlow/one: spec.outputs.smal: " in done.stderr
    broken = changed(flow, "spec/mode", "Batchy")
    assert ".yaml: DataFlow/one: spec.mode: " in validate([workflow(STEP), broken]).stderr


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"])
def test_every_kind_of_argos_is_checked(validate: Any, kind: str) -> None:
    wrong = workflow(changed(STEP, "plugin/accelchain/node", ...))
    spec = {"schedules": ["0 0 * * *"], "workflowSpec": wrong["spec"]} if kind == "CronWorkflow" else wrong["spec"]
    done = validate({**wrong, "kind": kind, "metadata": {"name": "stored"}, "spec": spec})
    assert f"{kind}/stored template shrink: {BODY}.node: " in done.stderr


def test_inline_templates_are_checked(validate: Any) -> None:
    inline = {k: v for k, v in changed(STEP, "plugin/accelchain/node", ...).items() if k != "name"}
    main = {"name": "main", "dag": {"tasks": [{"name": "one", "inline": inline}]}}
    assert f"template main.one: {BODY}.node: " in validate(workflow(main)).stderr


def test_outputs_that_a_step_does_not_declare_can_not_be_read(validate: Any) -> None:
    def reader(name: str) -> JsonObject:
        value = f"{{{{tasks.one.outputs.parameters.{name}}}}}"
        two = {"name": "two", "template": "echo", "arguments": {"parameters": [{"name": "x", "value": value}]}}
        return {"name": "main", "dag": {"tasks": [{"name": "one", "template": "shrink"}, two]}}

    echo = {"name": "echo", "container": {"image": "busybox"}}
    assert validate(workflow(reader("frames"), STEP, echo)).exit_code == 0
    done = validate(workflow(reader("frame"), STEP, echo))
    assert "template main: dag.tasks[1].arguments.parameters[0].value: " in done.stderr
    assert "did you mean 'frames'" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timeout": "10s", "plugin/accelchain/dataflow/activeDeadlineSeconds": 60}, "never reached"),
        ({"plugin/accelchain/dataflow/mode": "Stream"}, "a Stream never finishes"),
        ({"outputs/parameters/0/valueFrom": {"path": "/x"}}, "reads no path"),
        (
            {
                "retryStrategy": {"limit": 2},
                "plugin/accelchain/attempt": "{{retries}}",
                "plugin/accelchain/dataflow/retries": {"limit": 2},
            },
            "keep one of them",
        ),
    ],
)
def test_what_is_odd_is_told_and_does_not_fail(validate: Any, changes: JsonObject, said: str) -> None:
    step = STEP
    for path, value in changes.items():
        step = changed(step, path, value)
    done = validate(workflow(step))
    assert done.exit_code == 0
    assert any(line.startswith("Warning: ") and said in line for line in sentences(done)), done.stderr


def test_what_is_not_ours_is_left_alone(validate: Any) -> None:
    others = [
        {"name": "foreign", "plugin": {"hello": {}}},
        {"name": "pod", "container": {"image": "busybox"}, "timeout": "nonsense"},
    ]
    done = validate(workflow(*others), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})
    assert (done.exit_code, done.stderr) == (0, "")
    typo = validate(workflow({"name": "typo", "plugin": {"accelchian": {}}}))
    assert "did you mean 'accelchain'" in typo.stderr


def test_names_that_argo_does_not_take(validate: Any) -> None:
    long = changed(workflow(STEP), "metadata", {"name": "a" * 64})
    assert "metadata.name: " in validate(long).stderr
    cron = {"schedules": ["0 0 * * *"], "workflowSpec": workflow(STEP)["spec"]}
    document = {**workflow(STEP), "kind": "CronWorkflow", "metadata": {"name": "a" * 53}, "spec": cron}
    assert "52 are allowed" in validate(document).stderr


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        "x",
        {"templates": None},
        {"templates": [None, 3, {}, {"plugin": None}, {"plugin": {"accelchain": None}}]},
        {
            "templates": [
                {"name": 3, "plugin": {"accelchain": {"dataflow": []}}, "outputs": [], "inputs": {"artifacts": 1}}
            ]
        },
        {"templates": [{"plugin": {"accelchain": {"node": 1, "results": [], "dataflow": {"chain": None}}}}]},
        {"templates": [{"plugin": {"accelchain": {}}, "timeout": {}, "retryStrategy": 3}], "executorPlugins": [3]},
    ],
)
def test_garbage_is_no_crash(validate: Any, spec: Any) -> None:
    document = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": None, "spec": spec}
    done = validate(document)
    assert isinstance(done.exception, SystemExit | None), done.exc_info


def test_values_of_the_command_line_are_for_one_dataflow(validate: Any) -> None:
    done = validate(workflow(STEP), workflow(STEP), options=("-p", "width=3"))
    assert done.exit_code == 2
    assert "one file with a DataFlow" in done.stderr


def places_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_of(child, (*at, key))


@pytest.mark.parametrize("new", [None, 1, "x", [], {}, True, "{{x}}", [None], {"": None}], ids=repr)
def test_whatever_stands_anywhere_is_no_crash(new: Any) -> None:
    step = changed(STEP, "outputs/artifacts", [{"name": "small", "path": "/tmp/x", "s3": {"key": "k"}}])
    step = changed(step, "retryStrategy", {"limit": 1})
    whole = workflow(step, templateDefaults={"timeout": "1h"})
    known = Known(types=function_types())
    for place in places_of(whole):
        document = copy.deepcopy(whole)
        at: Any = {"document": document}
        *folders, last = ("document", *place)
        for part in folders:
            at = at[part]
        at[last] = copy.deepcopy(new)
        found = lint([Document("x.yaml", 1, at["document"] if not place else document)], known)
        assert all(str(finding).endswith((".", "?", "…")) for finding in found.findings), found.findings


ARGO = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 2, "empty"),
        ("a: [", 2, "1.yaml:2:1: this is no YAML"),
        ("a: 1\na: 2", 2, "twice"),
        ("&a [*a, *a]", 2, "nested too deeply"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: 2020-01-01, 1: a, on: b}", 0, ""),
        ("kind: List\nitems: [{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {templates: "
         "[{name: a, plugin: {accelchain: {}}}]}}]", 2, "document 1 template a: plugin.accelchain.node: "),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Workflow, x: !!binary aGk=}", 0, ""),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Workflow, x: !!set {a}}", 2, "1.yaml:1:"),
        (ARGO + "spec: 3", 2, "document 1: spec: this is a number: a mapping is wanted."),
        (ARGO + "spec:", 2, "document 1: spec: this is nothing: a mapping is wanted."),
        (ARGO.replace("Work", "CronWork") + "spec: {workflowSpec: []}", 2, "spec.workflowSpec: this is a list: "),
        (ARGO + "spec: {templates: {name: a}}", 2, "spec.templates: this is a mapping: a list is wanted."),
        (ARGO + "spec: {templates: [a]}", 2, "spec.templates[0]: this is text: a mapping is wanted."),
        (ARGO + "spec: {templates: [{dag: {tasks: {a: b}}}]}", 2, "spec.templates[0].dag.tasks: this is a mapping"),
        (ARGO + "spec: {templates: [{dag: 8}]}", 2, "spec.templates[0].dag: this is a number: a mapping is wanted."),
        (ARGO + "spec: {templates: [{steps: [{name: x}]}]}", 2, "templates[0].steps[0]: this is a mapping: a list"),
        (ARGO + "spec: {templates: [{steps: [[{name: x}], ]}, {dag: {tasks: []}}, {steps: }]}", 0, ""),
    ],
)  # fmt: skip
def test_texts_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1.yaml").write_text(text)
    Path("2.yaml").write_text(yaml.safe_dump(workflow(STEP)))
    done = CliRunner().invoke(cli, ["validate", "1.yaml", "2.yaml"])
    assert done.exit_code == code, done.output
    assert said in done.stderr


def test_standard_input_is_a_file_too() -> None:
    done = CliRunner().invoke(cli, ["validate", "-"], input=yaml.safe_dump(workflow(STEP)))
    assert (done.exit_code, done.stderr) == (0, "")


def test_numbers_are_those_of_argos_yaml_and_come_back_as_they_were() -> None:
    text = "a: 12:30\nb: 1e3\nc: '1e3'\nd: 010\ne: '12'\nf: 1.5\ng: -7\nh: '0o17'\ni: 2020-01-01\nj: .inf\n"
    wanted = {"a": "12:30", "b": 1000.0, "c": "1e3", "d": 8, "e": "12", "f": 1.5, "g": -7, "h": "0o17"}
    wanted |= {"i": "2020-01-01", "j": float("inf")}
    (document,) = load(text, "x")
    assert document.value == wanted
    (again,) = load(write([document.value]), "x")
    assert again.value == wanted
    assert "c: '1e3'" in write([document.value]), "Argo would read a number without quotes"
