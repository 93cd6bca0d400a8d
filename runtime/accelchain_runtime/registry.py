# SPDX-License-Identifier: Apache-2.0
"""Finds functions: a function is a folder with a manifest, ``functiontype.yaml``.

Imports neither numpy nor a device API, so that the command line reads manifests quickly.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml

MANIFEST = "functiontype.yaml"
ENTRY_POINT_GROUP = "accelchain.functions"
FOLDERS_VARIABLE = "ACCELCHAIN_FUNCTIONS"

_BUILT_IN = Path(__file__).parent / "functions"
_BUILT_IN_PACKAGE = "accelchain_runtime.functions"


class ManifestError(Exception):
    """A manifest can't be read; the message names the file and the field."""

    def __init__(self, file: Path, field: str, problem: str) -> None:
        super().__init__(f"{file}: {field + ': ' if field else ''}{problem}")
        self.file = file
        self.field = field


@dataclass(frozen=True)
class FunctionFolder:
    """A function as it lies on disk."""

    folder: Path
    manifest: dict[str, Any]
    package: str | None = None
    """Name that Python imports the folder by; None for a folder outside any package."""

    @property
    def spec(self) -> dict[str, Any]:
        """The manifest's spec."""
        spec: dict[str, Any] = self.manifest["spec"]
        return spec

    @property
    def name(self) -> str:
        """The function's name: ``spec.function``, or the object's name."""
        return str(self.spec.get("function") or self.manifest["metadata"]["name"])

    @property
    def version(self) -> str:
        """The function's version."""
        return str(self.spec.get("version", "1.0.0"))

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Input ports in the manifest's order."""
        return list(self.spec.get("inputs") or [])

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Output ports in the manifest's order."""
        return list(self.spec.get("outputs") or [])

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """Declarations of parameters in the manifest's order."""
        return list(self.spec.get("parameters") or [])

    def implementation(self, name: str) -> dict[str, Any] | None:
        """Return the implementation of that name, or None."""
        return next((entry for entry in self.spec["implementations"] if entry["name"] == name), None)


def find(folders: Sequence[Path] = ()) -> list[FunctionFolder]:
    """Return every function that this process can use; of a name and version found twice the first one.

    Args:
        folders: function folders, or folders of function folders; they come before ``ACCELCHAIN_FUNCTIONS``,
            the entry points of group ``accelchain.functions``, and the built-in functions.

    Raises:
        ManifestError: a manifest is malformed, or a named folder holds no function.
    """
    found: dict[tuple[str, str], FunctionFolder] = {}
    for function in _all(folders):
        found.setdefault((function.name, function.version), function)
    return list(found.values())


def _all(folders: Sequence[Path]) -> Iterator[FunctionFolder]:
    named = [Path(text) for text in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if text]
    for folder in (place.expanduser().absolute() for place in (*folders, *named)):
        functions = list(_in_folder(folder, None))
        if not functions:
            raise ManifestError(folder, "", f"neither this folder nor a folder in it holds a {MANIFEST}.")
        yield from functions
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        spec = importlib.util.find_spec(entry.module)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield from _in_folder(Path(location), entry.module)
    yield from _in_folder(_BUILT_IN, _BUILT_IN_PACKAGE)


def _in_folder(folder: Path, package: str | None) -> Iterator[FunctionFolder]:
    """Yield the function that the folder is, or those that it holds, by name of folder."""
    if (folder / MANIFEST).is_file():
        yield read(folder, package)
        return
    if not folder.is_dir():
        return
    for child in sorted(folder.iterdir()):
        if (child / MANIFEST).is_file():
            yield read(child, f"{package}.{child.name}" if package and child.name.isidentifier() else None)


def read(folder: Path, package: str | None = None) -> FunctionFolder:
    """Read one function folder.

    Raises:
        ManifestError: the manifest is malformed.
    """
    file = folder / MANIFEST
    try:
        manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ManifestError(file, "", f"can't be read as YAML: {' '.join(str(error).split())}") from error
    _check(file, manifest)
    return FunctionFolder(folder, manifest, package)


def _check(file: Path, manifest: Any) -> None:
    """Check what the runtime relies on; the whole schema is the FunctionType's CRD."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "FunctionType":
        raise ManifestError(file, "kind", "must be FunctionType.")
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise ManifestError(file, "metadata.name", "must be a name.")
    if not isinstance(spec, dict):
        raise ManifestError(file, "spec", "must be a mapping.")
    for key in ("inputs", "outputs", "parameters", "implementations"):
        entries = spec.get(key) or []
        if not isinstance(entries, list):
            raise ManifestError(file, f"spec.{key}", "must be a list.")
        names: set[str] = set()
        for index, entry in enumerate(entries):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or name in names:
                raise ManifestError(file, f"spec.{key}[{index}].name", "must be a name, and used once.")
            names.add(name)
    if not spec.get("implementations"):
        raise ManifestError(file, "spec.implementations", "must name at least one.")
    for index, entry in enumerate(spec["implementations"]):
        _check_implementation(file, f"spec.implementations[{index}]", entry)


def _check_implementation(file: Path, field: str, entry: dict[str, Any]) -> None:
    if entry.get("api") not in ("host", "opencl", "cuda"):
        raise ManifestError(file, f"{field}.api", "must be host, opencl or cuda.")
    entrypoint, kernel = entry.get("entrypoint"), entry.get("kernel")
    if (entrypoint is None) == (kernel is None):
        raise ManifestError(file, field, "give exactly one of entrypoint (Python) and kernel (OpenCL).")
    if entrypoint is not None and (not isinstance(entrypoint, str) or entrypoint.count(":") != 1):
        raise ManifestError(file, f"{field}.entrypoint", "must be file:Class.")
    if kernel is not None and entry["api"] != "opencl":
        raise ManifestError(file, f"{field}.api", "a kernel is for api opencl.")
    if kernel is not None and not (isinstance(kernel, dict) and kernel.get("file") and kernel.get("name")):
        raise ManifestError(file, f"{field}.kernel", "must have file and name.")
    if kernel is not None and kernel.get("workItems", "elements") not in ("elements", "pixels", "rows"):
        raise ManifestError(file, f"{field}.kernel.workItems", "must be elements, pixels or rows.")
