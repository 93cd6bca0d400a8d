# SPDX-License-Identifier: Apache-2.0
"""A type checker sees components and their arguments, and stops what does not fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

USAGE = Path(__file__).with_name("typed_usage.py")
_REVEALED = re.compile(r"note: Revealed type is \"(?:[\w.]+\.)?(\w+)(?:\[.*\])?\"")
_ERROR = re.compile(r"error: .*\[([\w-]+)\]$")


@pytest.mark.timeout(300)
def test_what_mypy_says_of_every_line() -> None:
    out, err, _ = api.run(["--config-file", "pyproject.toml", "--no-error-summary", str(USAGE)])
    assert not err
    said: dict[int, list[str]] = {}
    for line in out.splitlines():
        file, number, message = line.split(":", 2)
        if Path(file).name == USAGE.name:
            for pattern, prefix in ((_REVEALED, ""), (_ERROR, "error: ")):
                if found := pattern.search(message):
                    said.setdefault(int(number), []).append(prefix + found[1])
    expected = {
        number: [comment.strip()]
        for number, line in enumerate(USAGE.read_text().splitlines(), 1)
        if line.startswith("    ") and (comment := line.partition("  # ")[2])
    }
    assert len(expected) > 15
    assert said == expected, out
