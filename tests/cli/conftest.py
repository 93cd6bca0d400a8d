# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, on a machine where nothing may be started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from accelchain.cli.commands import cli


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call a command in an empty folder; the test fails where it would start a cluster."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ACCELCHAIN_FUNCTIONS", raising=False)

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
