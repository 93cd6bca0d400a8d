# SPDX-License-Identifier: Apache-2.0
"""docs/resources.md against the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accelchain.api import KINDS
from accelchain.api.crd import root_schema
from accelchain.api.reference import fields, main, updated

PAGE = Path(__file__).parents[2] / "docs" / "resources.md"


def known_fields() -> set[str]:
    return {f"{kind.kind_name} {path}" for kind in KINDS for path, _, _ in fields(root_schema(kind))}


def test_the_page_is_what_the_models_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page), "run `python -m accelchain.api.reference docs/resources.md`"


def test_every_field_that_the_page_names_exists() -> None:
    named = re.findall(r"`([A-Z][A-Za-z]+ (?:spec|status)\.[^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 40
    assert sorted(set(named) - known_fields()) == []


def test_all_rows_of_openkasugai_have_their_place() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 24))


def test_links_to_decisions_lead_somewhere() -> None:
    links = re.findall(r"\]\((adr/[^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links and all((PAGE.parent / link).is_file() for link in links)


def test_the_command_brings_a_page_up_to_date(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(updated(PAGE.read_text(encoding="utf-8")).replace("| `spec.mode` |", "| `spec.mood` |"))
    assert main([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no marks"):
        updated("a page without marks")
