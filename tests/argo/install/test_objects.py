# SPDX-License-Identifier: Apache-2.0
"""What `accelchain argo install` writes is what Argo looks for, and what the chart installs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accelchain.argo.install import Wanted, objects
from accelchain.cli.commands import cli

REPOSITORY = Path(__file__).parents[3]
CHART = REPOSITORY / "manifests" / "charts" / "accelchain"
NO_PYTHON = 3

JsonObject = dict[str, Any]


def named(made: list[JsonObject], kind: str, name: str) -> JsonObject:
    return next(obj for obj in made if (obj["kind"], obj["metadata"]["name"]) == (kind, name))


def written(*arguments: str) -> list[JsonObject]:
    done = CliRunner().invoke(cli, ["argo", "install", *arguments])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.stdout))


def test_argo_finds_a_plugin_that_passes_its_checks() -> None:
    made = written("-n", "team-a", "--image", "registry.example/operator:1")
    config = named(made, "ConfigMap", "accelchain-executor-plugin")
    assert config["metadata"]["labels"]["workflows.argoproj.io/configmap-type"] == "ExecutorPlugin"
    assert config["data"]["sidecar.automountServiceAccountToken"] == "true"
    # argoproj/argo-workflows v4.1.2, pkg/plugins/spec/plugin_types.go:Validate
    container = yaml.safe_load(config["data"]["sidecar.container"])
    assert container["image"] == "registry.example/operator:1"
    assert container["ports"] == [{"containerPort": 17471}]
    assert container["resources"]["requests"] and container["resources"]["limits"]
    assert f"--port={container['ports'][0]['containerPort']}" in container["args"]


def test_the_container_can_read_its_token_and_nothing_more() -> None:
    config = named(objects(Wanted("team-a")), "ConfigMap", "accelchain-executor-plugin")
    security = yaml.safe_load(config["data"]["sidecar.container"])["securityContext"]
    # argoproj/argo-workflows v4.1.2, cmd/argoexec/commands/agent.go: mode 0440 of user 8737, group 0
    assert (security["runAsUser"], security["runAsGroup"]) == (8737, 0)
    assert security["runAsNonRoot"] and security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_its_account_has_a_token_by_the_name_that_argo_looks_for() -> None:
    made = objects(Wanted("team-a"))
    account = named(made, "ServiceAccount", "accelchain-executor-plugin")
    token = named(made, "Secret", f"{account['metadata']['name']}.service-account-token")
    assert token["type"] == "kubernetes.io/service-account-token"
    assert token["metadata"]["annotations"]["kubernetes.io/service-account.name"] == account["metadata"]["name"]
    binding = named(made, "RoleBinding", "accelchain-executor-plugin")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "accelchain-executor-plugin", "namespace": "team-a"}
    ]
    assert {obj["metadata"]["namespace"] for obj in made} == {"team-a"}


def test_a_service_account_gets_what_the_agent_calls() -> None:
    made = written("-n", "team-a", "--service-account", "runner")
    assert named(made, "Secret", "runner.service-account-token")
    role = named(made, "Role", "accelchain-workflow")
    granted = {(r["apiGroups"][0], r["resources"][0], verb) for r in role["rules"] for verb in r["verbs"]}
    assert granted >= {  # argoproj/argo-workflows v4.1.2, manifests/quick-start/base/agent-role.yaml, executor role
        ("argoproj.io", "workflowtaskresults", "create"),
        ("argoproj.io", "workflowtaskresults", "patch"),
        ("argoproj.io", "workflowtasksets", "list"),
        ("argoproj.io", "workflowtasksets", "watch"),
        ("argoproj.io", "workflowtasksets/status", "patch"),
        ("accelchain.io", "dataflows", "create"),
    }
    binding = named(made, "RoleBinding", "accelchain-workflow-runner")
    assert binding["subjects"][0]["name"] == "runner"
    assert binding["roleRef"]["name"] == "accelchain-workflow"


def test_without_the_plugin_there_is_the_service_accounts_part_alone() -> None:
    made = written("-n", "team-a", "--service-account", "runner", "--without-plugin")
    assert [obj["kind"] for obj in made] == ["Role", "RoleBinding", "Role", "RoleBinding", "Secret"]


def test_argos_controller_may_take_ended_steps_out_of_the_task_set() -> None:
    made = written("-n", "team-a", "--without-plugin", "--controller-account", "flows/argo-controller")
    (role, binding) = made
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtasksets/status"], "verbs": ["patch"]}
    ]
    assert binding["metadata"]["namespace"] == "team-a"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "argo-controller", "namespace": "flows"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--controller-account", "argo"], "namespace/name"),
        (["-n", "Team_A"], "Team_A"),
        (["--service-account", "no such/name"], "no such/name"),
        (["--image", ""], "--image"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["argo", "install", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[JsonObject], list[JsonObject]]]:
    """Render the chart's Argo part; skips where there is no Python that Helm's library runs on."""
    setup = subprocess.run(
        ["sh", str(REPOSITORY / "tools" / "helm_setup.sh")], capture_output=True, text=True, timeout=100, check=False
    )
    if setup.returncode == NO_PYTHON:
        pytest.skip(setup.stderr.strip())
    assert setup.returncode == 0, setup.stderr
    file = tmp_path_factory.mktemp("values") / "values.yaml"

    def rendered(argo: JsonObject) -> list[JsonObject]:
        parts = {name: {"install": False} for name in ("crds", "functionTypes")}
        file.write_text(json.dumps({**parts, "argo": argo}))
        python = REPOSITORY / setup.stdout.strip()
        command = [python, REPOSITORY / "tools" / "helm.py", "template", "accelchain", CHART, "--values", file]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
        return [o for o in made if o["metadata"]["labels"].get("app.kubernetes.io/component") == "argo"]

    yield rendered


def comparable(made: list[JsonObject]) -> list[JsonObject]:
    """The objects without what only a release knows, the container as what its text says."""
    found = json.loads(json.dumps(made))
    for obj in found:
        for label in ("instance", "version"):
            obj["metadata"]["labels"].pop(f"app.kubernetes.io/{label}", None)
        if obj["kind"] == "ConfigMap":
            obj["data"]["sidecar.container"] = yaml.safe_load(obj["data"]["sidecar.container"])
    return sorted(found, key=lambda o: (o["metadata"]["namespace"], o["kind"], o["metadata"]["name"]))


@pytest.mark.parametrize("plugin", [True, False])
def test_the_chart_installs_the_same(render: Callable[[JsonObject], list[JsonObject]], plugin: bool) -> None:
    namespaces = ["team-a", "team-b"]
    chart = render({"enabled": True, "namespaces": namespaces, "serviceAccount": "runner", "plugin": plugin})
    ours = [o for n in namespaces for o in objects(Wanted(n, service_account="runner", plugin=plugin))]
    assert comparable(chart) == comparable(ours)


def test_the_chart_installs_nothing_of_argo_unless_it_is_asked(
    render: Callable[[JsonObject], list[JsonObject]],
) -> None:
    assert render({}) == []
