# SPDX-License-Identifier: Apache-2.0
"""The lists in images/packages name all that the programs of an image import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = """
import importlib, importlib.abc, pkgutil, sys
forbidden, packages, left_out = {forbidden!r}, {packages!r}, {left_out!r}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for package in packages:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), package + "."):
        if not found.name.startswith(left_out) and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
{then}
"""
COMMAND = "from accelchain.cli.main import main; sys.argv[:] = ['accelchain', {name!r}, '--help']; main()"
FUNCTIONS = """
from accelchain_runtime import registry
from accelchain_runtime.engine.loader import load_class
for function in registry.find():
    for implementation in function.spec["implementations"]:
        if "entrypoint" in implementation:
            load_class(function, implementation)
"""
LOCALKUBE = "accelchain_operators.localkube"
CASES = {
    "operator": (
        [
            "accelchain.api",
            "accelchain.chain",
            "accelchain_operators",
        ],
        COMMAND.format(name="operator"),
    ),
    "launcher": (
        ["accelchain.kfp.core", "accelchain.kfp.launcher"],
        "import av, botocore.session, PIL.Image, accelchain.kfp.launcher.__main__",
    ),
    "node": (["accelchain_operators.node", "accelchain_runtime.devices"], COMMAND.format(name="node")),
    "worker": (["accelchain_runtime.worker", "accelchain_runtime.prepare", "accelchain.kfp.step"], FUNCTIONS),
}


@pytest.mark.parametrize("image", CASES)
def test_an_image_has_what_its_programs_import(root: Path, locked: ModuleType, tmp_path: Path, image: str) -> None:
    lock = (root / "requirements" / "lock.txt").read_text(encoding="utf-8")
    roots = locked.names((root / "images" / "packages" / f"{image}.txt").read_text(encoding="utf-8"))
    there = {pin.name for pin in locked.pins(locked.part(lock, roots))} | {"accelchain"}
    installed = packages_distributions()
    forbidden = {name for name, of in installed.items() if not there & {locked.canonical(one) for one in of}}
    assert {"pytest", "mypy"} <= forbidden
    packages, then = CASES[image]
    left_out = (LOCALKUBE, "accelchain_runtime.devices.cuda")
    program = PROGRAM.format(forbidden=forbidden, packages=packages, left_out=left_out, then=then)
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(str(root / part) for part in ("plugin", "operators", "runtime")),
    }
    environment |= {"ACCELCHAIN_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_operators_come_without_numpy_and_opencl(root: Path, locked: ModuleType) -> None:
    lock = (root / "requirements" / "lock.txt").read_text(encoding="utf-8")
    roots = locked.names((root / "images" / "packages" / "operator.txt").read_text(encoding="utf-8"))
    names = {pin.name for pin in locked.pins(locked.part(lock, roots))}
    assert not names & {"numpy", "pyopencl", "pocl-binary-distribution", "av", "onnx", "rich"}, json.dumps(
        sorted(names)
    )
