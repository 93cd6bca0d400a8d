# SPDX-License-Identifier: Apache-2.0
"""A worker whose cache is empty begins with what its image brings, and changes nothing of that."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from accelchain_runtime import prepare, registry
from accelchain_runtime.devices.pool import DevicePool, cache_folder
from accelchain_runtime.devices.prepared import begin_with
from accelchain_runtime.prepare import preparations


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_was_prepared_in_the_image_is_not_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, work = tmp_path / "base", tmp_path / "work"
    monkeypatch.setenv("ACCELCHAIN_CACHE", str(base))
    assert prepare.main(["--function", "copy"]) == 0
    before = contents(base)
    monkeypatch.setenv("ACCELCHAIN_CACHE", str(work))
    monkeypatch.setenv("ACCELCHAIN_CACHE_BASE", str(base))
    copy = [function for function in registry.find() if function.name == "copy"]
    assert all(preparation.done for preparation in preparations(copy, DevicePool(cache_folder()), work))
    assert contents(work).items() >= before.items()
    assert prepare.main(["--function", "copy"]) == 0
    assert contents(base) == before


def test_what_pocl_writes_is_not_written_into_the_image(tmp_path: Path) -> None:
    base, work = tmp_path / "base", tmp_path / "work"
    (base / "pocl" / "AB").mkdir(parents=True)
    (base / "pocl" / "AB" / "last_accessed").write_text("then")
    begin_with(base, work)
    (work / "pocl" / "AB" / "last_accessed").write_text("now")
    assert (base / "pocl" / "AB" / "last_accessed").read_text() == "then"


def test_what_the_cache_has_already_is_kept_and_a_second_start_costs_nothing(tmp_path: Path) -> None:
    base, work = tmp_path / "base", tmp_path / "work"
    for folder, text in ((base, "image"), (work, "own")):
        folder.mkdir()
        (folder / "weights.npz").write_text(text)
    begin_with(base, work)
    assert (work / "weights.npz").read_text() == "own"
    (base / "later.npz").write_text("later")
    begin_with(base, work)
    assert not (work / "later.npz").exists()


def test_a_base_that_is_missing_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        begin_with(tmp_path / "none", tmp_path / "work")
    assert "ACCELCHAIN_CACHE_BASE" in caplog.text
