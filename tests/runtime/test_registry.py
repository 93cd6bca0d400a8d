# SPDX-License-Identifier: Apache-2.0
"""Finding functions and loading what is behind them, from folders of a user's own as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accelchain_runtime import registry
from accelchain_runtime.engine import parameters
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.loader import load_class

ROOT = Path(__file__).parents[2]

MANIFEST = """
kind: FunctionType
metadata: {{name: {name}}}
spec:
  version: {version}
  implementations: [{{name: host, api: host, entrypoint: "{entrypoint}"}}]
"""


def write(folder: Path, name: str = "mine", version: str = "1.0.0", entrypoint: str = "code:Mine") -> Path:
    folder.mkdir(parents=True)
    (folder / "functiontype.yaml").write_text(MANIFEST.format(name=name, version=version, entrypoint=entrypoint))
    return folder


def test_importing_the_registry_imports_neither_numpy_nor_a_device_api() -> None:
    code = (
        "import sys, accelchain_runtime.registry as r; r.find(); "
        "print([m for m in ('numpy', 'pyopencl', 'av') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "runtime", check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert printed.strip() == "[]"


def test_folders_come_first_and_the_first_of_a_name_and_version_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write(tmp_path / "given" / "copy", "copy")
    named = write(tmp_path / "named" / "a", "copy", "2.0.0")
    write(tmp_path / "named" / "b", "copy")
    monkeypatch.setenv("ACCELCHAIN_FUNCTIONS", str(tmp_path / "named"))
    found = {(f.name, f.version): f for f in registry.find([given])}
    assert found[("copy", "1.0.0")].folder == given
    assert found[("copy", "2.0.0")].folder == named
    assert found[("filter-resize", "1.0.0")].package == "accelchain_runtime.functions.filter_resize"


def test_a_folder_without_a_function_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(registry.ManifestError, match="neither this folder nor a folder in it holds"):
        registry.find([tmp_path])


def test_an_entry_point_brings_the_functions_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "their_package" / "blur", "blur")
    (tmp_path / "their_package" / "__init__.py").touch()
    information = tmp_path / "their_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[accelchain.functions]\ntheirs = their_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {f.name: f for f in registry.find()}
    assert found["blur"].package == "their_package.blur"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("a: [", ""),
        ("kind: Deployment", "kind"),
        ("kind: FunctionType", "metadata.name"),
        ("{kind: FunctionType, metadata: {name: x}, spec: {implementations: []}}", "spec.implementations"),
        ("{kind: FunctionType, metadata: {name: x}, spec: {inputs: [{type: frames}]}}", "spec.inputs[0].name"),
        (
            "{kind: FunctionType, metadata: {name: x}, spec: {implementations: [{name: a, api: vulkan}]}}",
            "spec.implementations[0].api",
        ),
        (
            "{kind: FunctionType, metadata: {name: x}, spec: {implementations: [{name: a, api: host}]}}",
            "spec.implementations[0]",
        ),
    ],
)
def test_a_malformed_manifest_names_file_and_field(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "functiontype.yaml").write_text(text)
    with pytest.raises(registry.ManifestError) as error:
        registry.find([tmp_path])
    assert error.value.field == field
    assert str(error.value).startswith(f"{tmp_path / 'functiontype.yaml'}: {field}")


def test_files_of_a_folder_outside_any_package_import_each_other(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = write(tmp_path / f"with space {number}", f"mine-{number}")
        (folder / "tables.py").write_text(f"VALUE = {number}\n")
        (folder / "code.py").write_text("from .tables import VALUE\nclass Mine:\n    value = VALUE\n")
    for number in (1, 2):
        function = registry.read(tmp_path / f"with space {number}")
        loaded = load_class(function, function.spec["implementations"][0])
        assert loaded.value == number


@pytest.mark.parametrize(
    ("entrypoint", "code", "message"),
    [
        ("code:Mine", None, "there is no file code.py"),
        ("code:Other", "class Mine: pass", "the file has no class Other"),
        ("code:Mine", "import no_such_package_at_all", "ModuleNotFoundError"),
        ("code:Mine", "class Mine(", "SyntaxError"),
    ],
)
def test_an_entrypoint_that_leads_nowhere(tmp_path: Path, entrypoint: str, code: str | None, message: str) -> None:
    folder = write(tmp_path / "f", entrypoint=entrypoint)
    if code is not None:
        (folder / "code.py").write_text(code)
    function = registry.read(folder)
    with pytest.raises(InputError, match=message):
        load_class(function, function.spec["implementations"][0])


DECLARATIONS = [
    {"name": "width", "type": "integer", "required": True, "minimum": 16, "maximum": 64},
    {"name": "factor", "type": "number", "default": 1},
    {"name": "filter", "enum": ["none", "median"], "default": "none"},
    {"name": "fast", "type": "boolean"},
]


def test_defaults_are_filled_in_and_a_whole_number_is_a_number() -> None:
    values = parameters.resolve(DECLARATIONS, {"width": 16}, "f")
    assert values == {"width": 16, "factor": 1.0, "filter": "none"}
    assert isinstance(values["factor"], float)


@pytest.mark.parametrize(
    ("given", "parameter", "message"),
    [
        ({}, "width", "f: parameter width must be given."),
        ({"width": 15}, "width", "the smallest allowed is 16"),
        ({"width": 65}, "width", "the largest allowed is 64"),
        ({"width": True}, "width", "give a value of type integer"),
        ({"width": 20.5}, "width", "give a value of type integer"),
        ({"width": 20, "filter": "blur"}, "filter", "give one of none, median"),
        ({"width": 20, "fast": 1}, "fast", "give a value of type boolean"),
        ({"width": 20, "colour": 1}, "colour", "unknown parameter colour; its parameters are: width, factor"),
    ],
)
def test_parameters_outside_their_declaration(given: dict[str, object], parameter: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parameters.resolve(DECLARATIONS, given, "f")
    assert error.value.parameter == parameter
