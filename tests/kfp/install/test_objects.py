# SPDX-License-Identifier: Apache-2.0
"""What `accelchain kfp install` writes is what launchers call, and what the chart installs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accelchain.cli.commands import cli
from accelchain.kfp.install import Wanted, objects

REPOSITORY = Path(__file__).parents[3]
CHART = REPOSITORY / "manifests" / "charts" / "accelchain"
NO_PYTHON = 3
AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow-"

JsonObject = dict[str, Any]


def written(*arguments: str) -> list[JsonObject]:
    done = CliRunner().invoke(cli, ["kfp", "install", *arguments])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


def holders(made: list[JsonObject]) -> set[tuple[str, str]]:
    """Namespace and ServiceAccount of everybody who is bound to a Role of the same namespace."""
    roles = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in made if o["kind"] == "Role"}
    found = set()
    for binding in (o for o in made if o["kind"] == "RoleBinding"):
        namespace = binding["metadata"]["namespace"]
        assert (namespace, binding["roleRef"]["name"]) in roles
        found |= {(s["namespace"], s["name"]) for s in binding["subjects"]}
        assert {s["namespace"] for s in binding["subjects"]} == {namespace}
    return found


def may(role: JsonObject) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_a_pipelines_that_stands_alone_needs_no_options() -> None:
    made = written()
    assert holders(made) == {("kubeflow", "pipeline-runner")}
    assert [obj["kind"] for obj in made] == ["Role", "RoleBinding"]
    granted = may(made[0])
    assert granted >= {("accelchain.io", "dataflows", v) for v in ("create", "get", "list", "watch", "patch", "delete")}
    assert granted >= {("", "pods", "get"), ("", "pods/log", "get"), ("accelchain.io", "wbfunctions", "list")}
    assert [rule["resourceNames"] for rule in made[0]["rules"] if "configmaps" in rule["resources"]] == [
        ["kfp-launcher"]
    ]


def test_nothing_is_wild_and_no_secret_is_read() -> None:
    made = objects(Wanted("kubeflow", profiles=("ann",), all_profiles=True))
    words = {word for o in made for rule in o.get("rules", ()) for word in (*rule["resources"], *rule["verbs"])}
    assert words and not words & {"*", "secrets", "dataflows/status", "update", "pods/exec"}


def test_namespace_and_account_are_chosen() -> None:
    assert holders(written("-n", "ml", "--service-account", "runner")) == {("ml", "runner")}


def test_each_profile_gets_its_rights_and_no_other_namespace() -> None:
    made = written("--profile", "ann", "--profile", "bob", "--profile", "ann")
    assert holders(made) == {("ann", "default-editor"), ("bob", "default-editor")}
    assert len(made) == 4
    both = written("-n", "kubeflow", "--profile", "ann")
    assert holders(both) == {("kubeflow", "pipeline-runner"), ("ann", "default-editor")}


def test_every_profile_by_roles_that_kubeflow_adds_to_its_own() -> None:
    edit, view = written("--all-profiles")
    assert (edit["kind"], view["kind"]) == ("ClusterRole", "ClusterRole")
    assert "namespace" not in edit["metadata"]
    assert edit["metadata"]["labels"][f"{AGGREGATE}edit"] == "true"
    assert view["metadata"]["labels"][f"{AGGREGATE}view"] == "true"
    assert f"{AGGREGATE}edit" not in view["metadata"]["labels"], "kubeflow-edit takes kubeflow-view in by itself"
    assert may(edit) == may(written()[0])
    assert {verb for _, _, verb in may(view)} == {"get", "list", "watch"}


def test_objects_that_two_options_ask_for_are_written_once() -> None:
    made = written("-n", "ann", "--service-account", "default-editor", "--profile", "ann")
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in made]
    assert sorted(set(names)) == sorted(names)


def test_what_else_is_needed_is_told_where_kubectl_does_not_mind() -> None:
    done = CliRunner().invoke(cli, ["kfp", "install"])
    comments = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert any("mlpipeline-minio-artifact" in line for line in comments)
    assert any("worker.allow" in line for line in comments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "Kube_Flow"], "--namespace Kube_Flow"),
        (["-n", ""], "--namespace"),
        (["--profile", "ann", "--profile", "a" * 64], "--profile a"),
        (["--service-account", "no such/name"], "no such/name"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-c", "from accelchain.cli.kfp import kfp; kfp()", "install", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_package_kfp_is_not_imported() -> None:
    """Administrators have no use for it."""
    code = "import sys; import accelchain.cli.kfp; sys.exit('kfp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[JsonObject], Any]]:
    """Render the chart's part; skips where there is no Python that Helm's library runs on."""
    setup = subprocess.run(
        ["sh", str(REPOSITORY / "tools" / "helm_setup.sh")], capture_output=True, text=True, timeout=100, check=False
    )
    if setup.returncode == NO_PYTHON:
        pytest.skip(setup.stderr.strip())
    assert setup.returncode == 0, setup.stderr
    file = tmp_path_factory.mktemp("values") / "values.yaml"

    def rendered(values: JsonObject) -> Any:
        parts = {name: {"install": False} for name in ("crds", "functionTypes")}
        file.write_text(json.dumps({**parts, "kfp": values}))
        python = REPOSITORY / setup.stdout.strip()
        command = [python, REPOSITORY / "tools" / "helm.py", "template", "accelchain", CHART, "--values", file]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        if done.returncode:
            return done.stderr
        made = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
        return [o for o in made if o["metadata"]["labels"].get("app.kubernetes.io/component") == "kfp"]

    yield rendered


def comparable(made: list[JsonObject]) -> list[JsonObject]:
    """The objects without what only a release knows."""
    found = json.loads(json.dumps(made))
    for obj in found:
        for label in ("instance", "version"):
            obj["metadata"]["labels"].pop(f"app.kubernetes.io/{label}", None)
    return sorted(found, key=lambda o: (o["metadata"].get("namespace", ""), o["kind"], o["metadata"]["name"]))


def test_the_chart_installs_the_same(render: Callable[[JsonObject], Any]) -> None:
    assert comparable(render({"enabled": True})) == comparable(objects(Wanted("kubeflow")))
    standalone = {"namespaces": ["ml"], "serviceAccount": "runner"}
    chart = render({"enabled": True, **standalone, "profiles": ["ann", "bob"], "allProfiles": True})
    assert comparable(chart) == comparable(objects(Wanted("ml", "runner", ("ann", "bob"), True)))
    only = render({"enabled": True, "namespaces": [], "allProfiles": True})
    assert comparable(only) == comparable(objects(Wanted(all_profiles=True)))


def test_the_chart_installs_nothing_of_it_unless_it_is_asked(render: Callable[[JsonObject], Any]) -> None:
    assert render({}) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"enabled": True, "namespaces": []}, "say where runs are"),
        ({"enabled": True, "namespaces": ["ann"], "profiles": ["ann"]}, "ann is in kfp.namespaces too"),
        ({"enabled": True, "profile": ["ann"]}, "kfp"),
    ],
)
def test_the_chart_refuses_what_makes_no_sense(render: Callable[[JsonObject], Any], values: Any, said: str) -> None:
    answer = render(values)
    assert isinstance(answer, str) and said in answer
