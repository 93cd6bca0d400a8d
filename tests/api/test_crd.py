# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from accelchain.api import KINDS
from accelchain.api.crd import crds, file_name, main, to_yaml

FOLDER = Path(__file__).parents[2] / "manifests" / "crds"


def test_the_files_in_the_repository_are_what_the_models_say() -> None:
    want = {file_name(kind): to_yaml(document) for kind, document in zip(KINDS, crds(), strict=True)}
    have = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert have == want, "run `make manifests`"


def test_the_command_writes_the_same_files_twice(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new" / "folder")]) == 0
    first = {p.name: p.read_bytes() for p in (tmp_path / "new" / "folder").iterdir()}
    assert main([str(tmp_path / "new" / "folder")]) == 0
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "new" / "folder").iterdir()}
    assert [yaml.safe_load(first[file_name(kind)]) for kind in KINDS] == crds()


def test_the_command_wants_one_folder(capsys: Any) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_names_and_subresources(definition: dict[str, Any]) -> None:
    spec = definition["spec"]
    assert definition["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    assert spec["names"]["categories"] == ["accelchain"]
    (version,) = spec["versions"]
    assert version["served"] and version["storage"] and version["subresources"] == {"status": {}}


def test_short_names_are_unique() -> None:
    names = [n for document in crds() for n in document["spec"]["names"]["shortNames"]]
    assert names and len(set(names)) == len(names)


def test_the_administrators_kinds_belong_to_the_cluster() -> None:
    scopes = {d["spec"]["names"]["kind"]: d["spec"]["scope"] for d in crds()}
    namespaced = {kind for kind, scope in scopes.items() if scope == "Namespaced"}
    assert namespaced == {"DataFlow", "FunctionChain", "WBFunction", "WBConnection"}


def test_selectable_fields_and_columns_lead_to_fields(definition: dict[str, Any]) -> None:
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    paths = [c["jsonPath"] for c in version["additionalPrinterColumns"]]
    paths += [f["jsonPath"] for f in version.get("selectableFields", ())]
    for path in paths:
        node = schema
        assert "[*]" not in path, "an API server would show the first item and no other"
        for name in path.replace("[?", ".[").split(".")[1:]:
            if name == "creationTimestamp":
                break
            if name.startswith("["):  # an item of a list; a filter's own fields follow and end it
                node = node["items"]
                break
            else:
                node = node["properties"][name] if name != "metadata" else node
