# SPDX-License-Identifier: Apache-2.0
"""Preparing fills the cache, so that a worker compiles nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelchain_runtime import prepare, registry
from accelchain_runtime.devices.pool import DevicePool
from accelchain_runtime.prepare import preparations
from accelchain_runtime.worker import warm_up


def test_prepare_compiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELCHAIN_CACHE", str(tmp_path))
    copy = [function for function in registry.find() if function.name == "copy"]
    assert not any(preparation.done for preparation in preparations(copy, DevicePool(tmp_path), tmp_path))
    assert prepare.main(["--function", "copy"]) == 0
    assert all(preparation.done for preparation in preparations(copy, DevicePool(tmp_path), tmp_path))
    (binary,) = (tmp_path / "opencl").iterdir()
    written = binary.stat().st_mtime_ns
    warm_up(DevicePool(tmp_path))  # only what is prepared is loaded, and nothing compiled
    assert [file.stat().st_mtime_ns for file in (tmp_path / "opencl").iterdir()] == [written]


def test_an_unknown_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELCHAIN_CACHE", str(tmp_path))
    assert prepare.main(["--function", "no-such"]) == 2
