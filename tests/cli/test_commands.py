# SPDX-License-Identifier: Apache-2.0
"""Commands that need no cluster, and the state folder that only one ``up`` may hold."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from accelchain.cli.commands import COMMANDS
from accelchain.cli.errors import Refused
from accelchain.cli.files import write_whole
from accelchain.cli.state import held, kubeconfig_path, up_runs


def test_every_command_has_help(call):
    listing = call("-h")
    assert listing.exit_code == 0
    for name in COMMANDS:
        assert name in listing.stdout
        if name in ("worker", "step"):
            continue  # they become another process, whose own help is shown
        page = call(name, "-h")
        assert page.exit_code == 0 and page.stdout.startswith("Usage:")


def test_validate_says_what_is_valid(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    result = call("validate", "flow.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "person-detection is valid: 6 functions, 6 connections" in result.stdout


def test_devices_as_a_table_and_as_json(call):
    names = [device["name"] for device in json.loads(call("devices", "--json").stdout)["devices"]]
    table = call("devices").stdout.splitlines()
    assert names[0] == "host" and len(names) > 1
    assert [line.split()[0] for line in table] == ["NAME", *names]


def test_graph_draws_the_placement(call, demo):
    Path("flow.yaml").write_text(yaml.safe_dump(demo()))
    result = call("graph", "flow.yaml", "-o", "-")
    assert result.exit_code == 0, result.stderr
    text = "".join(ElementTree.fromstring(result.stdout).itertext())
    assert "cpu0 · opencl" in text and "host · host" in text
    assert call("graph", "flow.yaml", "--no-placement").stdout == "graph.svg\n"
    assert "not placed" in Path("graph.svg").read_text()


def test_doctor_is_content_here(call):
    result = call("doctor")
    assert result.exit_code == 0, result.stdout
    assert all(line.startswith("ok ") for line in result.stdout.splitlines())


def test_doctor_says_what_is_missing(call, monkeypatch):
    monkeypatch.setattr("accelchain.cli.doctor.inventory", lambda: {"devices": [{"api": "host"}]})
    result = call("doctor")
    assert result.exit_code == 1
    assert any(line.startswith("FAIL") and "OpenCL" in line for line in result.stdout.splitlines())


def test_one_holds_the_state_folder_and_leaves_nothing(tmp_path):
    folder = tmp_path / "state"
    assert not up_runs(folder)
    with held(folder) as state:
        state.tell("https://127.0.0.1:1")
        kubeconfig_path(folder).touch()
        assert up_runs(folder)
        assert json.loads((folder / "up.json").read_text()) == {"pid": os.getpid(), "url": "https://127.0.0.1:1"}
        with pytest.raises(Refused, match="runs already"), held(folder):
            pytest.fail("two hold it")
        assert kubeconfig_path(folder).exists(), "the second one must not tidy up after the first"
    assert list(folder.iterdir()) == []


def test_what_a_killed_one_left_does_not_count(tmp_path):
    (tmp_path / "up.json").write_text('{"pid": 1}')
    kubeconfig_path(tmp_path).touch()
    assert not up_runs(tmp_path)
    with held(tmp_path):
        assert up_runs(tmp_path)


def test_files_are_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write_whole(path, "first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "second")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    (tmp_path / "link.html").symlink_to(path)
    write_whole(tmp_path / "link.html", "third")
    assert path.read_text() == "third"
    write_whole(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()
