# SPDX-License-Identifier: Apache-2.0
"""tools/images.py: what of this machine's configuration a build may see."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


def test_a_build_gets_the_registry_and_its_certificates_and_nothing_local(tool: ModuleType) -> None:
    listing = "\n".join(
        [
            ":env:.index-url='https://other.test/simple'",
            ":env:.find-links='/opt/wheels'",
            "global.cert='/etc/ssl/own.crt'",
            "global.extra-index-url='https://a.test\\nhttps://b.test'",
            "global.index-url='https://first.test/simple'",
            "install.user='true'",
        ]
    )
    configuration, certificates = tool.pip_configuration(listing)
    assert certificates == "/etc/ssl/own.crt"
    assert configuration.splitlines() == [
        "[global]",
        "index-url = https://other.test/simple",  # the environment wins, as it does for pip
        "extra-index-url = https://a.test https://b.test",
        "cert = /run/secrets/certificates",
    ]


def test_no_configuration_is_an_empty_one(tool: ModuleType) -> None:
    assert tool.pip_configuration("") == ("[global]\n", "")


def test_the_secrets_are_where_the_containerfile_mounts_them(tool: ModuleType, root: Path) -> None:
    text = (root / "images" / "Containerfile").read_text(encoding="utf-8")
    assert f"id=certificates,target={tool.CERTIFICATES}" in text
    assert "PIP_CONFIG_FILE=/run/secrets/pip " in text and "id=pip,target=/run/secrets/pip " in text


def test_a_missing_tool_is_named_with_what_to_do(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(tool.BuildError, match="apt-get install buildah"):
        tool.run(["buildah", "--version"])


def test_a_failing_tool_is_quoted(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(tool.BuildError, match="code 3") as error:
        tool.run(["sh", "-c", "echo why; exit 3"], tmp_path / "log")
    assert "why" in str(error.value)


def test_an_unknown_image_is_refused(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main(["no-such"])
    assert "no-such" in capsys.readouterr().err
