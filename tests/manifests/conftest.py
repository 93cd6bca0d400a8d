# SPDX-License-Identifier: Apache-2.0
"""What is installed in a cluster, as objects: from install.yaml (always), and as Helm renders it (Python 3.12)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "manifests" / "charts" / "accelchain"
NAMESPACE = "accelchain-system"
NO_PYTHON = 3
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The CRDs are long: five times as fast."""

JsonObject = dict[str, Any]
Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[JsonObject]]


class Installed:
    """The objects of one installation."""

    def __init__(self, objects: list[JsonObject]) -> None:
        self.objects = objects

    def of(self, *kinds: str) -> list[JsonObject]:
        """Return the objects of these kinds."""
        return [obj for obj in self.objects if obj["kind"] in kinds]

    def named(self, kind: str, name: str) -> JsonObject:
        """Return one object."""
        return next(obj for obj in self.of(kind) if obj["metadata"]["name"] == name)

    def pods(self) -> dict[str, JsonObject]:
        """Return the spec of every pod template by its owner's name."""
        owners = self.of("Deployment", "DaemonSet", "Job")
        return {owner["metadata"]["name"]: owner["spec"]["template"]["spec"] for owner in owners}

    def __iter__(self) -> Iterator[JsonObject]:
        return iter(self.objects)


@pytest.fixture(scope="session")
def chart() -> Path:
    """The chart's folder."""
    return CHART


@pytest.fixture(scope="session")
def installed() -> Installed:
    """What install.yaml and functiontypes.yaml hold."""
    files = (REPOSITORY / "manifests" / name for name in ("install.yaml", "functiontypes.yaml"))
    return Installed([obj for file in files for obj in yaml.load_all(file.read_text(), Loader=LOADER) if obj])


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Run tools/helm.py; skips where there is no Python that Helm's library runs on."""
    setup = subprocess.run(
        ["sh", str(REPOSITORY / "tools" / "helm_setup.sh")], capture_output=True, text=True, timeout=100, check=False
    )
    if setup.returncode == NO_PYTHON:
        pytest.skip(setup.stderr.strip())
    assert setup.returncode == 0, setup.stderr
    command = [str(REPOSITORY / setup.stdout.strip()), str(REPOSITORY / "tools" / "helm.py")]

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def render(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Installed]:
    """Render the chart with values; without CRDs and types, unless it is to be whole."""
    folder = tmp_path_factory.mktemp("values")
    known: dict[str, Installed] = {}

    def rendered(values: Mapping[str, Any], *, whole: bool = False) -> Installed:
        parts = {name: {"install": whole} for name in ("crds", "functionTypes")}
        key = json.dumps({**parts, **values}, sort_keys=True)
        if key not in known:
            known[key] = Installed(objects(key))
        return known[key]

    def objects(values: str) -> list[JsonObject]:
        file = folder / "values.yaml"
        file.write_text(values)
        text = helm("template", "accelchain", CHART, "--namespace", NAMESPACE, "--values", file).stdout
        return [obj for obj in yaml.load_all(text, Loader=LOADER) if obj]

    return rendered


@pytest.fixture(scope="session")
def hooks(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Installed]:
    """Render the chart's hooks with values."""
    file = tmp_path_factory.mktemp("hooks") / "values.yaml"

    def rendered(values: Mapping[str, Any]) -> Installed:
        file.write_text(json.dumps(values))
        text = helm("template", "accelchain", CHART, "--namespace", NAMESPACE, "--values", file, "--hooks").stdout
        return Installed([obj for obj in yaml.load_all(text, Loader=LOADER) if obj])

    return rendered


@pytest.fixture(scope="session")
def refusal(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, Any]], str]:
    """Say why the chart refuses values."""
    folder = tmp_path_factory.mktemp("refused")

    def said(values: Mapping[str, Any]) -> str:
        file = folder / "values.yaml"
        file.write_text(json.dumps(values))
        done = helm("template", "accelchain", CHART, "--namespace", NAMESPACE, "--values", file, check=False)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    return said


@pytest.fixture(scope="session")
def rights() -> set[tuple[str, str, str, str]]:
    """The table of rights: (controller, API group, resource, verb)."""
    table = yaml.safe_load((CHART / "rights.yaml").read_text())
    return {
        (controller, group, resource, verb)
        for controller, scopes in (table["controllers"] | table["optional"]).items()
        for rules in scopes.values()
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
