# SPDX-License-Identifier: Apache-2.0
"""Importing us is cheap."""

import subprocess
import sys

import pytest

import accelchain.kfp


def imported(code: str) -> set[str]:
    """The modules that are loaded after some code ran in a fresh Python."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["accelchain.kfp", "accelchain.kfp.functions", "accelchain.kfp.step.__main__"])
def test_neither_kfp_nor_models(module: str) -> None:
    modules = imported(f"import {module}")
    assert module in modules
    assert not modules & {"kfp", "pydantic", "numpy", "accelchain.api"}


def test_names_bring_kfp_and_no_models() -> None:
    light = sorted(set(accelchain.kfp.__all__) - {"FuseError", "functions"})
    modules = imported(f"from accelchain.kfp import {', '.join(light)}")
    assert "kfp" in modules
    assert not modules & {"pydantic", "numpy", "accelchain.api"}


def test_every_name_is_there() -> None:
    for name in accelchain.kfp.__all__:
        assert getattr(accelchain.kfp, name) is not None
    assert set(accelchain.kfp.__all__) <= set(dir(accelchain.kfp))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = accelchain.kfp.nothing  # type: ignore[attr-defined]
