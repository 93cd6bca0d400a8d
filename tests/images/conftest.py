# SPDX-License-Identifier: Apache-2.0
"""The images' own programs, which are no packages, and what every image's list of packages names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"images_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def locked() -> ModuleType:
    """images/locked.py."""
    return _program(ROOT / "images" / "locked.py")


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """tools/images.py."""
    return _program(ROOT / "tools" / "images.py")
