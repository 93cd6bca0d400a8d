# SPDX-License-Identifier: Apache-2.0
"""The part of the lock file that an image installs: all that it needs, as it was locked, and nothing else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa
    # via accelchain (setup.cfg)
beta-x==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:b1 \\
    --hash=sha256:b2
    # via
    #   -c requirements/constraints.in
    #   Alpha
    #   delta
beta-x==3.0 ; python_full_version >= '3.12' \\
    --hash=sha256:b3
    # via
    #   alpha
    #   delta
delta==1.0 \\
    --hash=sha256:dd
    # via accelchain (setup.cfg)
gamma==4.0 \\
    --hash=sha256:cc
    # via beta-x
"""


def test_a_part_holds_what_its_roots_need_with_markers_and_hashes(locked: ModuleType) -> None:
    part = locked.part(LOCK, ["Alpha"])
    assert part == LOCK.replace("delta==1.0 \\\n    --hash=sha256:dd\n    # via accelchain (setup.cfg)\n", "")


def test_a_part_leaves_out_what_needs_its_packages(locked: ModuleType) -> None:
    assert [pin.name for pin in locked.pins(locked.part(LOCK, ["beta_x"]))] == ["beta-x", "beta-x", "gamma"]


def test_a_root_that_is_not_locked_is_refused(locked: ModuleType) -> None:
    with pytest.raises(locked.LockError, match="omega"):
        locked.part(LOCK, ["alpha", "omega"])


def test_a_list_may_have_comments(locked: ModuleType) -> None:
    assert locked.names("# all\nPyYAML  # for plans\n\nprometheus_client\n") == ("pyyaml", "prometheus-client")


@pytest.mark.parametrize("image", ["build", "operator", "launcher", "node", "worker"])
def test_what_an_image_installs_is_complete(root: Path, locked: ModuleType, image: str) -> None:
    """Pip installs it without dependencies, so the packages' own metadata must ask for nothing else."""
    lock = (root / "requirements" / "lock.txt").read_text(encoding="utf-8")
    roots = locked.names((root / "images" / "packages" / f"{image}.txt").read_text(encoding="utf-8"))
    pins = {pin.name: pin.text for pin in locked.pins(locked.part(lock, roots))}
    for name, text in pins.items():
        assert "--hash=sha256:" in text
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # its marker leaves it out on this machine
            assert ";" in text.splitlines()[0]
            continue
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert locked.canonical(requirement.name) in pins, f"{name} needs {requirement}"
