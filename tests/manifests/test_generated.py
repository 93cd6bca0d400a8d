# SPDX-License-Identifier: Apache-2.0
"""What is generated is what it is generated from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from accelchain.api.crd import crds
from accelchain.cli.installed import function_types

KEEP = {"helm.sh/resource-policy": "keep"}


@pytest.fixture(scope="module")
def generator(repository: Path) -> ModuleType:
    """The program behind `make manifests`."""
    spec = importlib.util.spec_from_file_location("manifests", repository / "tools" / "manifests.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kustomized(folder: Path) -> list[dict[str, Any]]:
    kubectl = Path(sys.executable).parent / "kubectl"
    text = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=True
    ).stdout  # fmt: skip
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def in_order(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(objects, key=lambda obj: (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))


def test_what_is_installed_is_what_helm_makes_of_the_chart(render: Any, installed: Any) -> None:
    assert in_order(render({"namespace": {"create": True}}, whole=True).objects) == in_order(installed.objects)


def test_a_change_of_the_chart_is_noticed_without_helm(generator: ModuleType) -> None:
    assert generator.rendered_from() == generator.digest(), "say `make manifests`"


def test_kustomize_makes_the_same(installed: Any, repository: Path) -> None:
    folder = repository / "manifests" / "kustomize"
    assert in_order(kustomized(folder / "base") + kustomized(folder / "functions")) == in_order(installed.objects)


def test_the_crds_are_ours_and_survive_an_uninstallation(installed: Any) -> None:
    expected = crds()
    for crd in expected:
        crd["metadata"]["annotations"] = KEEP
    assert in_order(installed.of("CustomResourceDefinition")) == in_order(expected)


def test_the_types_are_those_of_the_laptop(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELCHAIN_FUNCTIONS", raising=False)
    expected = {type.metadata.name: type.to_dict()["spec"] for type in function_types()}
    assert {obj["metadata"]["name"]: obj["spec"] for obj in installed.of("FunctionType")} == expected
    assert all(obj["metadata"]["annotations"] == KEEP for obj in installed.of("FunctionType"))


def test_braces_in_a_crd_are_no_template(
    generator: ModuleType, helm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chart: Path
) -> None:
    said = "Argo's {{workflow.name}} stays Argo's"
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a.b"}}
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "a.yaml").write_text(yaml.safe_dump({**crd, "spec": {"description": said}}, sort_keys=False))
    monkeypatch.setattr(generator, "MANIFESTS", tmp_path)
    monkeypatch.setattr(generator, "CRD_TEMPLATES", tmp_path / "chart" / "templates")
    generator.crd_templates()
    (tmp_path / "chart" / "Chart.yaml").write_text((chart / "charts" / "accelchain-crds" / "Chart.yaml").read_text())
    (rendered,) = [obj for obj in yaml.safe_load_all(helm("template", "x", tmp_path / "chart").stdout) if obj]
    assert rendered["spec"]["description"] == said


def test_the_readme_tells_of_every_value(generator: ModuleType, chart: Path) -> None:
    text = (chart / "values.yaml").read_text()
    told = {path for path, _, _ in generator.values_table(text)}

    def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, value in values.items():
            if isinstance(value, dict) and value and f"{path}{key}" not in told:
                yield from leaves(value, f"{path}{key}.")
            else:
                yield f"{path}{key}"

    assert told == set(leaves(yaml.safe_load(text)))
    readme = (chart / "README.md").read_text()
    assert all(f"| `{path}` |" in readme for path in told)
