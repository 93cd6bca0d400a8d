# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, on a machine where nothing may be started."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from accelchain.api.crd import crds
from accelchain.cli.commands import cli
from accelchain.cli.installed import function_types
from accelchain_operators.kube.connection import Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.server import LocalKube
from accelchain_operators.localkube.users import AUTHENTICATED, User


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call a command in an empty folder; the test fails where it would start a cluster."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ACCELCHAIN_FUNCTIONS", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)

    async def start(_: object) -> None:
        pytest.fail("a cluster was started")

    monkeypatch.setattr("accelchain.cli.local.LocalCluster._start", start)

    def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, list(map(str, arguments)), input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def demo(repository: Path) -> Callable[[], dict[str, Any]]:
    """Return the demo as one DataFlow with an inline chain and absolute addresses, to be spoilt."""

    def make() -> dict[str, Any]:
        text = (repository / "pipelines" / "person-detection" / "dataflow.yaml").read_text()
        documents = {d["kind"]: d for d in yaml.safe_load_all(text)}
        flow: dict[str, Any] = documents["DataFlow"]
        if "FunctionChain" in documents:
            flow["spec"]["chain"] = documents["FunctionChain"]["spec"]
            del flow["spec"]["chainRef"]
        return flow

    return make


class Api:
    """A cluster's API in a thread of its own: accelchain's kinds, no operators, and users with the rights they need."""

    def __init__(self, folder: Path, definitions: list[dict[str, Any]]) -> None:
        self.kube = LocalKube()
        for obj in definitions:
            self.kube.put(obj)
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._wait(self.kube.start())

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def put(self, obj: dict[str, Any]) -> None:
        """Store an object, status included."""

        async def work() -> None:
            self.kube.put(obj)

        self._wait(work())

    def call(self, work: Callable[[HttpClient], Coroutine[Any, Any, Any]]) -> Any:
        """Do something as the administrator."""

        async def with_client() -> Any:
            client = HttpClient(connection=Connection(self.kube.url, self.kube.token, ca=self.kube.ca))
            try:
                return await work(client)
            finally:
                await client.close()

        return self._wait(with_client())

    def kubeconfig(self, token: str = "", name: str = "config", **cluster: Any) -> Path:
        """Write a kubeconfig for the administrator, or for whose token it is."""
        config = self.kube.kubeconfig(token)
        config["clusters"][0]["cluster"].update(cluster)
        path = self._folder / name
        path.write_text(yaml.safe_dump(config))
        return path

    def user(self, name: str, *rules: tuple[str, str, str], namespace: str = "default") -> Path:
        """Make a user with rights in a namespace (group, resource, verbs with blanks between); return a kubeconfig."""
        group = "rbac.authorization.k8s.io"
        role: dict[str, Any] = {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": name, "namespace": namespace},
            "rules": [{"apiGroups": [g], "resources": [r], "verbs": verbs.split()} for g, r, verbs in rules],
        }
        self.put(role)
        binding = {"roleRef": {"apiGroup": group, "kind": "Role", "name": name}, "kind": "RoleBinding"}
        subject = {"apiGroup": group, "kind": "User", "name": name}
        self.put({**binding, "apiVersion": f"{group}/v1", "metadata": role["metadata"], "subjects": [subject]})
        return self.kubeconfig(self.kube.users.add(User(name, (AUTHENTICATED,))), name)

    def close(self) -> None:
        """Stop it."""
        self._wait(self.kube.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def make_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Make APIs: with the definitions given, else with accelchain's own and its functions."""
    made: list[Api] = []

    def make(definitions: list[dict[str, Any]] | None = None) -> Api:
        own = [*crds(), *(t.to_dict() for t in function_types())]
        made.append(Api(tmp_path, own if definitions is None else definitions))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """An API with accelchain's definitions and functions."""
    return make_api()


@pytest.fixture
def refused() -> Callable[[Result, int], str]:
    """Check that a command ended with one sentence on stderr and nothing on stdout; return it."""

    def check(result: Result, code: int = 2) -> str:
        assert result.exit_code == code, result.output
        assert result.stdout == "" and "Traceback" not in result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1 and lines[0].endswith((".", "?")), result.stderr
        return lines[0]

    return check
