# SPDX-License-Identifier: Apache-2.0
"""The command as its container runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from accelchain.argo.executor import defaults
from accelchain.argo.install.objects import PORT
from accelchain.cli.commands import cli

TOKEN = "of-this-pod"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """``accelchain argo plugin`` in a process of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int) -> None:
        self.port = port
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def post(self, document: Any, token: str = TOKEN) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/template.execute",
            json.dumps(document).encode(),
            {"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def hung_api() -> Iterator[socket.socket]:
    """A Kubernetes API that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        api.settimeout(10)
        yield api


@pytest.fixture
def kubeconfig(tmp_path: Path, hung_api: socket.socket) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{hung_api.getsockname()[1]}"}}],
                "users": [{"name": "x", "user": {"token": "t"}}],
            }
        )
    )
    return path


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def started(kubeconfig: Path, token_file: Path, machine: Any, wait_until: Callable[..., None]) -> Iterator[Process]:
    port = free_port()
    code = "from accelchain.cli.argo_plugin import plugin; plugin()"
    options = ["--port", str(port), "--token-file", str(token_file), "--kubeconfig", str(kubeconfig)]
    one = Process([sys.executable, "-c", code, *options], machine.environment, port)
    try:
        wait_until(one.is_up, what="the server")
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=10)


def test_it_answers_and_a_signal_ends_it_at_once(started: Process, hung_api: socket.socket) -> None:
    workflow = {"metadata": {"name": "wf", "namespace": "default", "uid": "u"}}
    assert started.post({"workflow": workflow, "template": {"plugin": {"hello": {}}}}) == {}
    bad = started.post({"workflow": workflow, "template": {"name": "detect", "plugin": {"accelchain": {}}}})
    assert bad["node"]["phase"] == "Failed"
    ours = {"plugin": {"accelchain": {"node": "wf", "dataflow": {"chainRef": {"name": "demo"}}}}}
    threading.Thread(target=_quietly, args=(started, {"workflow": workflow, "template": ours}), daemon=True).start()
    hung_api.accept()  # the call is under way
    begun = time.monotonic()
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(10) == 0
    assert time.monotonic() - begun < 5
    assert started.process.stderr is not None
    assert started.process.stderr.read() == ""
    lines = [json.loads(line) for line in started.lines]
    assert any(line.get("workflow") == "wf" and line.get("node") == "detect" for line in lines)


def _quietly(process: Process, document: Any) -> None:
    try:
        process.post(document)
    except OSError:
        pass  # broken off by the signal


def test_a_port_that_is_taken_is_one_sentence(kubeconfig: Path, token_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ["--port", str(port), "--token-file", str(token_file), "--kubeconfig", str(kubeconfig)]
        result = CliRunner().invoke(cli, ["argo", "plugin", *options])
    assert result.exit_code == 1
    assert "choose another --port" in result.output


def test_without_a_token_it_does_not_start(kubeconfig: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["argo", "plugin", "--token-file", str(tmp_path / "none"), "--kubeconfig", str(kubeconfig)]
    )
    assert result.exit_code == 2
    assert "--token-file" in result.output


def test_outside_of_a_cluster_it_says_what_to_name(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(cli, ["argo", "plugin", "--token-file", str(token_file)])
    assert result.exit_code == 2
    assert "--kubeconfig" in result.output


def test_it_listens_where_the_installation_says() -> None:
    assert defaults.PORT == PORT


def test_it_imports_neither_kopf_nor_kubernetes(machine: Any) -> None:
    code = (
        "import sys; import accelchain.argo.executor.run, accelchain.argo.executor.executor; "
        "print([m for m in ('kopf', 'kubernetes', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_what_listens_first_needs_no_models(machine: Any) -> None:
    """Argo's agent calls at once; a refused connection costs one of five tries."""
    code = (
        "import sys; import accelchain.argo.executor.run, accelchain.cli.argo_plugin; "
        "print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, who may not read the token")
def test_a_user_who_may_not_read_the_token_hears_which_one_may(machine: Any) -> None:
    code = (
        "import os; from accelchain.cli.argo_plugin import plugin; "
        "from accelchain.argo.executor import run, token; from accelchain_operators.kube import logs; "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); plugin()"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        path = Path(folder, "token")
        path.write_text(TOKEN)
        path.chmod(0o440)
        done = subprocess.run(
            [sys.executable, "-c", code, "--token-file", str(path)],
            env=machine.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2, done.stderr
    assert "uid 8737 and gid 0" in done.stderr
    assert "uid 65534 and gid 65534" in done.stderr
    assert "runAsUser: 8737" in done.stderr
