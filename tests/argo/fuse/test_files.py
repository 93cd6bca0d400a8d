# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` and ``accelchain unfuse`` on files: ours, Argo's, several documents, and bad ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from accelchain.argo.lint import load
from accelchain.cli.commands import cli

REPOSITORY = Path(__file__).parents[3]
VIDEO = REPOSITORY / "pipelines/argo/video-chain/workflow.yaml"
EXAMPLES = REPOSITORY / "shared/data/argo-examples"
if not EXAMPLES.is_dir():
    EXAMPLES = REPOSITORY.parent / "shared/data/argo-examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
NOT_OURS = {"workflow-count-resourcequota.yaml": "no workflow", "k8s-patch-json-workflow.yaml": "there twice"}
"""Files with nothing that could be rewritten, and the words that say so."""


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def values(text: str) -> list[Any]:
    return [document.value for document in load(text, "x")]


@pytest.mark.skipif(not FILES, reason="shared/data/argo-examples is not there")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_of_argo_stay_as_they_are(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "fused.yaml"
    result = call("fuse", file, "-o", output, "--report", tmp_path / "report.json")
    assert result.exit_code == 0, result.output
    assert NOT_OURS.get(file.name, "") in result.stderr
    assert output.read_bytes() == file.read_bytes()
    steps = json.loads((tmp_path / "report.json").read_text())["steps"]
    assert {step["outcome"] for step in steps} <= {"kept"}
    assert all(step["rule"] and step["sentence"] for step in steps)
    back = call("unfuse", output, "-o", tmp_path / "back.yaml")
    assert back.exit_code == 0, back.output
    assert (tmp_path / "back.yaml").read_bytes() == file.read_bytes()


def test_the_video_chain_becomes_one_valid_step_and_comes_back(tmp_path: Path) -> None:
    fused, back = tmp_path / "fused.yaml", tmp_path / "back.yaml"
    assert call("fuse", VIDEO, "-o", fused, "--report", tmp_path / "report.json").exit_code == 0
    steps = json.loads((tmp_path / "report.json").read_text())["steps"]
    assert [(step["step"], step["outcome"]) for step in steps] == [
        (name, "fused") for name in ("decode", "resize", "detect", "write")
    ]
    checked = call("validate", fused)
    assert checked.exit_code == 0 and "1 step of accelchain, valid" in checked.output
    assert call("fuse", fused, "-o", tmp_path / "again.yaml").exit_code == 0
    assert (tmp_path / "again.yaml").read_text() == fused.read_text()
    assert call("unfuse", fused, "-o", back).exit_code == 0
    assert values(back.read_text()) == values(VIDEO.read_text())


def test_the_fused_example_is_what_fuse_writes(tmp_path: Path) -> None:
    assert call("fuse", VIDEO, "-o", tmp_path / "fused.yaml").exit_code == 0
    assert (tmp_path / "fused.yaml").read_text() == VIDEO.with_name("fused.yaml").read_text()


@pytest.mark.skipif(
    not (os.environ.get("ACCELCHAIN_ARGO") or shutil.which("argo")), reason="ACCELCHAIN_ARGO names no argo command"
)
def test_argo_finds_nothing_wrong(tmp_path: Path) -> None:
    assert call("fuse", VIDEO, "-o", tmp_path / "fused.yaml").exit_code == 0
    argo = os.environ.get("ACCELCHAIN_ARGO") or "argo"
    done = subprocess.run(
        [argo, "lint", "--offline", str(tmp_path / "fused.yaml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


MANY = """\
# a list of things, which all stay
apiVersion: v1
kind: ConfigMap
metadata: {name: "n", annotations: {a: &note "---", b: *note}}
data:
  text: |
    # no document here
     ---
    y
--- # the second
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: a-}
spec: {entrypoint: y, templates: [{name: "y", container: {image: x, args: ["no", "on", 1.0]}}]}
...
---
"""


def test_documents_that_are_not_changed_stay_letter_by_letter(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(MANY + VIDEO.read_text())
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml").exit_code == 0
    text = (tmp_path / "out.yaml").read_text()
    assert text.startswith(MANY.rpartition("...\n")[0])
    before, after = values(MANY + VIDEO.read_text()), values(text)
    assert after[:2] == before[:2]
    assert call("unfuse", tmp_path / "out.yaml", "-o", tmp_path / "back.yaml").exit_code == 0
    assert values((tmp_path / "back.yaml").read_text()) == before


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"])
def test_every_kind_is_fused(kind: str, tmp_path: Path) -> None:
    document = yaml.safe_load(VIDEO.read_text())
    document |= {"kind": kind, "metadata": {"name": "video"}}
    if kind == "CronWorkflow":
        document["spec"] = {"schedules": ["1 * * * *"], "workflowSpec": document["spec"]}
    (tmp_path / "in.yaml").write_text(yaml.dump(document))
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml").exit_code == 0
    assert call("validate", tmp_path / "out.yaml").exit_code == 0
    assert call("unfuse", tmp_path / "out.yaml", "-o", tmp_path / "back.yaml").exit_code == 0
    assert yaml.safe_load((tmp_path / "back.yaml").read_text()) == document


def test_aliases_and_old_booleans_keep_their_meaning(tmp_path: Path) -> None:
    text = VIDEO.read_text().replace('"0.4"', '&share "0.4"') + (
        '    - {name: "y", inputs: {parameters: [{name: "no", value: *share}, {name: "n", value: "y"}]}, suspend: {}}\n'
    )
    (tmp_path / "in.yaml").write_text(text)
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml").exit_code == 0
    fused = values((tmp_path / "out.yaml").read_text())[0]["spec"]["templates"]
    assert {"name": "y", "suspend": {}}.items() <= fused[-2].items()
    assert fused[-2]["inputs"]["parameters"] == [{"name": "no", "value": "0.4"}, {"name": "n", "value": "y"}]
    assert "value: 'y'" in (tmp_path / "out.yaml").read_text()


def beside(value: str) -> str:
    """Return the video chain with a template more, that has a value."""
    return VIDEO.read_text() + f"    - {{name: beside, suspend: {{}}, metadata: {{annotations: {{a: {value}}}}}}}\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('"08"', "'08'"),
        ('"1e3"', "'1e3'"),
        ('"0o17"', "'0o17'"),
        ("12:30", "'12:30'"),
        ("y", "true"),
        ("off", "false"),
        ("1e3", "1000.0"),
        ("017", "15"),
        ("2001-01-01", "'2001-01-01'"),
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_values_beside_a_chain_are_what_argo_reads(value: str, written: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(beside(value))
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml").exit_code == 0
    assert f"\n        a: {written}\n" in (tmp_path / "out.yaml").read_text()


@pytest.mark.parametrize(("value", "words"), [("!!set {a}", "the tag"), ("{1.5: b}", "a key is no text")])
def test_a_document_that_argo_may_read_otherwise_is_left_as_it_is(value: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(beside(value) + "---\n" + VIDEO.read_text())
    result = call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml")
    assert result.exit_code == 0 and words in result.stderr and "steps: 4 fused" in result.stderr
    assert (tmp_path / "out.yaml").read_text().startswith(beside(value))


def test_a_list_of_kubectl_stays_one(tmp_path: Path) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [other, yaml.safe_load(VIDEO.read_text())]}
    (tmp_path / "in.yaml").write_text(yaml.dump(listed))
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml").exit_code == 0
    fused = yaml.safe_load((tmp_path / "out.yaml").read_text())
    wanted = yaml.safe_load(VIDEO.with_name("fused.yaml").read_text())
    assert fused["items"][0] == other and fused["items"][1]["spec"] == wanted["spec"]
    assert call("unfuse", tmp_path / "out.yaml", "-o", tmp_path / "back.yaml").exit_code == 0
    assert yaml.safe_load((tmp_path / "back.yaml").read_text()) == listed


def test_what_is_fused_is_not_taken_back_where_its_functions_are_missing(tmp_path: Path) -> None:
    folder = tmp_path / "functions/mine"
    shutil.copytree(REPOSITORY / "runtime/accelchain_runtime/functions/filter_resize", folder)
    manifest = folder / "functiontype.yaml"
    manifest.write_text(manifest.read_text().replace("name: filter-resize", "name: mine"))
    (tmp_path / "in.yaml").write_text(VIDEO.read_text().replace(" filter-resize", " mine"))
    mine = ("--functions", folder.parent)
    assert call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "fused.yaml", *mine).exit_code == 0
    result = call("fuse", tmp_path / "fused.yaml", "-o", tmp_path / "again.yaml")
    assert result.exit_code == 2 and "is fused already, and would not be now" in result.output
    assert not (tmp_path / "again.yaml").exists()
    assert call("fuse", tmp_path / "fused.yaml", "-o", tmp_path / "again.yaml", *mine).exit_code == 0
    assert (tmp_path / "again.yaml").read_text() == (tmp_path / "fused.yaml").read_text()


def test_an_edited_fused_part_is_not_thrown_away(tmp_path: Path) -> None:
    fused = tmp_path / "fused.yaml"
    call("fuse", VIDEO, "-o", fused)
    edited = tmp_path / "edited.yaml"
    edited.write_text(fused.read_text().replace("threshold: 0.4", "threshold: 0.6"))
    for command in ("fuse", "unfuse"):
        result = call(command, edited, "-o", tmp_path / "back.yaml")
        assert result.exit_code == 2 and "its fused part was edited" in result.output
    assert not (tmp_path / "back.yaml").exists()


def test_what_is_edited_elsewhere_stays_edited(tmp_path: Path) -> None:
    call("fuse", VIDEO, "-o", tmp_path / "fused.yaml")
    text = (tmp_path / "fused.yaml").read_text().replace("serviceAccountName: workflow", "serviceAccountName: other")
    (tmp_path / "fused.yaml").write_text(text)
    assert call("unfuse", tmp_path / "fused.yaml", "-o", tmp_path / "back.yaml").exit_code == 0
    wanted = values(VIDEO.read_text().replace("serviceAccountName: workflow", "serviceAccountName: other"))
    assert values((tmp_path / "back.yaml").read_text()) == wanted


@pytest.mark.parametrize("command", ["fuse", "unfuse"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Workflow\nspec: {a: 1, a: 2}\n", "the key 'a' is there twice. It is left as it is."),
        ("kind: ConfigMap\napiVersion: v1\n", "in.yaml: "),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}\n", "in.yaml: "),
    ],
)
def test_what_is_not_for_us_is_left_as_it_is_and_said(command: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(text)
    result = call(command, tmp_path / "in.yaml", "-o", tmp_path / "out.yaml")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.yaml").read_text() == text
    assert words in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("a: [1", "this is no YAML"),
        ("a: 1\n", "document 1 is neither a workflow"),
        ("# one\n---\nx: 1\n---\nb: {\n", "in.yaml:6:1: this is no YAML"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(text)
    result = call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml", "--report", tmp_path / "report.json")
    assert result.exit_code == 2 and words in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.yaml"]


@pytest.mark.parametrize(
    "value", [None, "x", 3, [], [None], {}, {"a": 1}, [[1]], [{"name": 3}], {"tasks": [{"name": "a"}, {"name": "a"}]}]
)
@pytest.mark.parametrize(
    "field", ["templates", "steps", "dag", "container", "inputs", "outputs", "metadata", "arguments"]
)
def test_a_document_without_form_does_no_harm(field: str, value: Any, tmp_path: Path) -> None:
    document = yaml.safe_load(VIDEO.read_text())
    spec = document["spec"]
    if field == "templates":
        spec["templates"] = value
    elif field in ("steps", "dag"):
        spec["templates"][0].pop("dag")
        spec["templates"][0][field] = value
    elif field == "arguments":
        spec["templates"][0]["dag"]["tasks"][1][field] = value
    else:
        spec["templates"][2][field] = value
    (tmp_path / "in.yaml").write_text(yaml.dump(document))
    result = call("fuse", tmp_path / "in.yaml", "-o", tmp_path / "out.yaml")
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "out.yaml").read_text() == (tmp_path / "in.yaml").read_text()
