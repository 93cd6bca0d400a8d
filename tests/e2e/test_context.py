# SPDX-License-Identifier: Apache-2.0
"""Our commands against a cluster from outside: whole lives of flows, with an administrator's and a user's rights."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
import yaml

GROUP = "accelchain.io"
USER = [
    {"apiGroups": [GROUP], "resources": ["dataflows", "functionchains"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list", "watch"]},
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, functions, make_machine):
    """A machine whose ``up`` knows dawdle."""
    with make_machine(tmp_path_factory.mktemp("context"), "--functions", functions, "--workers", "2") as user:
        yield user


def ours(cluster) -> list[str]:
    """Names of everything that belongs to flows."""
    kinds = "dataflows,functionchains,wbfunctions,wbconnections,configmaps,secrets,pods"
    return cluster.kubectl("get", kinds, "-o", "name").stdout.split()


@pytest.fixture(autouse=True)
def tidy(cluster, wait_until):
    yield
    cluster.kubectl("delete", "dataflows", "--all", "--timeout=20s")
    wait_until(lambda: not ours(cluster), 20, "the end of all objects")


def phase(cluster, name: str = "late") -> str:
    return cluster.kubectl("get", "dataflow", name, "-o", "jsonpath={.status.phase}").stdout


def apply(cluster, text: str) -> None:
    applied = cluster.kubectl("apply", "-f", "-", stdin=text)
    assert applied.returncode == 0, applied.stderr


@pytest.fixture
def run_there(cluster, tmp_path):
    """Arguments that run a flow in the cluster: its text, and options."""

    def arguments(flow: str, *options: object) -> list[object]:
        (tmp_path / "flow.yaml").write_text(flow)
        return ["run", tmp_path / "flow.yaml", "--no-report", "--kubeconfig", cluster.kubeconfig, *options]

    return arguments


def with_chain(flow: str) -> str:
    """Take the chain out of a flow, into an object of its own."""
    document = yaml.safe_load(flow)
    spec = document["spec"].pop("chain")
    document["spec"]["chainRef"] = {"name": "lately"}
    chain = {
        "apiVersion": document["apiVersion"],
        "kind": "FunctionChain",
        "metadata": {"name": "lately"},
        "spec": spec,
    }
    return yaml.safe_dump_all([chain, document])


def test_what_a_run_created_goes_with_it(cluster, late_flow, run_there, tmp_path):
    flow = with_chain(late_flow(tmp_path / "film.mp4", seconds=0))
    result = cluster.call(*run_there(flow, "-n", "default"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'film.mp4'}\n"
    assert ours(cluster) == []


def test_what_is_kept_goes_when_the_flow_is_deleted(cluster, late_flow, run_there, tmp_path):
    flow = with_chain(late_flow(tmp_path / "film.mp4", seconds=0))
    assert cluster.call(*run_there(flow, "--keep")).returncode == 0
    assert f"functionchain.{GROUP}/lately" in ours(cluster)
    assert cluster.call("delete", "late").returncode == 0
    assert ours(cluster) == []


def test_a_chain_that_was_there_is_used_stays_and_is_not_overwritten(cluster, late_flow, run_there, tmp_path):
    flow = with_chain(late_flow(tmp_path / "film.mp4", seconds=0))
    chain, _ = flow.split("---\n")
    apply(cluster, chain)
    result = cluster.call(*run_there(flow))
    assert result.returncode == 0, result.stderr
    assert ours(cluster) == [f"functionchain.{GROUP}/lately"]
    other = cluster.call(*run_there(flow.replace("seconds: 0", "seconds: 0.5")))
    assert other.returncode == 2 and "FunctionChain lately: the cluster has one that differs" in other.stderr
    assert ours(cluster) == [f"functionchain.{GROUP}/lately"]
    cluster.kubectl("delete", "functionchain", "lately")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_dry_run_shows_the_plan_and_runs_nothing(cluster, late_flow, run_there, functions, tmp_path, where):
    flow = late_flow(tmp_path / "film.mp4", seconds=0)
    options = ["--dry-run", *(["--functions", functions] if where == "here" else [])]
    arguments = run_there(flow, *options)
    if where == "here":
        arguments = [a for a in arguments if a not in ("--kubeconfig", cluster.kubeconfig)]
    result = cluster.run(*arguments)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["FUNCTION", "NODE/DEVICE", "IMPLEMENTATION"]
    assert {row[0] for row in rows[1:4]} == {"decode", "dawdle", "encode"} and all("/" in row[1] for row in rows[1:4])
    assert ["decode.frames", "dawdle.frames"] in [row[:2] for row in rows[5:]]
    assert "nothing was started" in result.stderr
    assert not (tmp_path / "film.mp4").exists() and ours(cluster) == []


def test_attempts_are_shown_and_the_last_reason_counts(cluster, late_flow, run_there, tmp_path):
    flow = late_flow(tmp_path / "film.mp4", spec={"retries": {"limit": 1}}, seconds=0, failAt=3)
    result = cluster.run(*run_there(flow, "--keep"))
    assert result.returncode == 1, result.stderr
    assert re.search(r"attempt 1 failed: FunctionFailed: .*dawdle breaks", result.stderr)
    assert "Error: FunctionFailed: " in result.stderr and "(2 attempts failed)" in result.stderr
    described = cluster.call("describe", "late").stdout
    assert "Attempt:    2 (2 failed; 1 retries allowed)" in described
    assert "Failed attempts:" in described and "accelchain logs late" in described
    for number in (1, 2):
        log = cluster.call("logs", "late", "--attempt", number)
        assert "the reason is told in the log" in log.stdout, log.stderr
    none = cluster.call("logs", "late", "--attempt", 3)
    assert none.returncode == 1 and "no worker of attempt 3" in none.stderr


def test_suspend_resume_and_cancel(cluster, late_flow, tmp_path, wait_until):
    apply(cluster, late_flow(tmp_path / "film.mp4", seconds=0.2))
    wait_until(lambda: phase(cluster) == "Running", 20, "the flow's begin")
    assert cluster.call("suspend", "late").stdout == "dataflow/late suspended\n"
    wait_until(lambda: phase(cluster) == "Suspended", 20, "its pause")
    assert "accelchain resume late" in cluster.call("describe", "late").stdout
    assert cluster.call("resume", "late").stdout == "dataflow/late resumed\n"
    wait_until(lambda: phase(cluster) == "Running", 20, "its going on")
    assert cluster.call("cancel", "late").stdout == "dataflow/late cancelled\n"
    wait_until(lambda: phase(cluster) == "Failed", 20, "its end")
    assert "Cancelled" in cluster.call("describe", "late").stdout
    over = cluster.call("suspend", "late")
    assert over.returncode == 2 and "DataFlow late is over (Failed)" in over.stderr


def test_live_hands_a_browser_what_the_worker_shows(cluster, late_flow, tmp_path):
    apply(cluster, late_flow(tmp_path / "film.mp4", seconds=0.1))
    live = cluster.start("live", "late")
    live.until("Ctrl-C ends it")
    url = live.out.strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", url)
    page = urllib.request.urlopen(url, timeout=10).read().decode()
    assert 'src="live/encode.mjpeg"' in page and "token" not in page
    status = json.loads(urllib.request.urlopen(f"{url}status", timeout=10).read())
    assert status["phase"] in ("Starting", "Running")
    with urllib.request.urlopen(f"{url}live/encode.mjpeg", timeout=10) as video:
        assert video.headers["Content-Type"].startswith("multipart/") and b"\xff\xd8" in video.read(4000)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url.rsplit("/", 2)[0] + "/status", timeout=10)
    assert cluster.kubectl("delete", "dataflow", "late").returncode == 0
    assert live.end(15) == 0 and "late has ended: deleted" in live.err


@pytest.fixture
def user(cluster, tmp_path):
    """The kubeconfig of somebody with rights in a namespace only, and not for Secrets."""
    meta = {"name": "jane", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jane"}
    subjects = [{"kind": "ServiceAccount", **meta}]
    api = "rbac.authorization.k8s.io/v1"
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": api, "kind": "Role", "metadata": meta, "rules": USER},
        {"apiVersion": api, "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": subjects},
    ]
    apply(cluster, yaml.safe_dump_all(objects))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = "/api/v1/namespaces/default/serviceaccounts/jane/token"
    answer = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request))
    assert answer.returncode == 0, answer.stderr
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": json.loads(answer.stdout)["status"]["token"]}
    (tmp_path / "jane").write_text(yaml.safe_dump(config))
    yield tmp_path / "jane"
    cluster.kubectl("delete", "rolebinding/jane", "role/jane", "serviceaccount/jane")


def test_a_user_without_secrets_sees_the_flows_own_figures(cluster, user, late_flow, run_there, tmp_path):
    command = run_there(late_flow(tmp_path / "film.mp4", seconds=0.03))
    command[command.index(cluster.kubeconfig)] = user
    result = cluster.run(*command)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("no live figures, only the DataFlow's own: you may not get secrets") == 1
    assert "wbfunctions are not shown: you may not list wbfunctions.accelchain.io" in result.stderr
    assert "late succeeded: 100 frames" in result.stderr and ours(cluster) == []


def test_a_user_does_everything_else_with_the_own_rights(cluster, user, late_flow, tmp_path):
    apply(cluster, late_flow(tmp_path / "film.mp4", seconds=0.02))
    follow = cluster.run("logs", "-f", "late", "--kubeconfig", user)
    assert follow.returncode == 0 and "Succeeded after 100 frames" in follow.stdout, follow.stderr
    assert "late" in cluster.call("get", "--kubeconfig", user).stdout
    described = cluster.call("describe", "late", "--kubeconfig", user).stdout
    assert "Succeeded" in described and "not shown: you may not list events" in described
    assert cluster.call("delete", "late", "--kubeconfig", user).stdout == "dataflow/late deleted\n"
    assert ours(cluster) == []
