# SPDX-License-Identifier: Apache-2.0
"""The Containerfile gives its programs the user, the folders and the commands that the operators' Pods count on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from accelchain_operators.reconcile import pod


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, list[str]]:
    """Instructions of each stage, after those of the stage that it begins with; continued lines are joined."""
    text = (root / "images" / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if begins := re.match(r"FROM (\S+) AS (\S+)", line):
            current = found.setdefault(begins[2], list(found.get(begins[1], ())))
        elif line and not line.startswith(("#", "ARG")):
            current.append(line)
    return found


def environment(instructions: list[str]) -> dict[str, str]:
    """Return what ENV sets."""
    words = [word for line in instructions if line.startswith("ENV ") for word in line.split()[1:]]
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("operator", ["accelchain", "operator"]),
        ("launcher", ["python", "-m", "accelchain.kfp.launcher"]),
        ("node", ["accelchain", "node"]),
        ("worker", ["python", "-m", "accelchain_runtime.worker"]),
    ],
)
def test_every_image_runs_its_program_as_a_numbered_user(
    stages: dict[str, list[str]], image: str, command: list[str]
) -> None:
    users = [line for line in stages[image] if line.startswith("USER")]
    assert users == [f"USER {pod.GROUP}:{pod.GROUP}"]  # a name would not satisfy runAsNonRoot
    (entry,) = (line for line in stages[image] if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == command


def test_the_workers_cache_is_the_folder_that_its_pod_mounts(stages: dict[str, list[str]]) -> None:
    variables = environment(stages["worker"])
    assert variables["ACCELCHAIN_CACHE"] == pod.WORK_FOLDER
    assert variables["HOME"] == pod.TEMPORARY_FOLDER
    assert variables["XDG_CACHE_HOME"].startswith(pod.TEMPORARY_FOLDER)


def test_any_user_may_write_the_workers_cache(stages: dict[str, list[str]]) -> None:
    """Kubeflow Pipelines and OpenShift run images as users of their own; PoCL crashes where it can keep no kernel."""
    assert any(f"mkdir -m 1777 /folders{pod.WORK_FOLDER}" in line for line in stages["tools"])
    assert "COPY --from=tools /folders /" in stages["worker"]


def test_what_is_prepared_in_the_build_is_where_the_worker_looks(stages: dict[str, list[str]]) -> None:
    base = environment(stages["worker"])["ACCELCHAIN_CACHE_BASE"]
    (prepare,) = (line for line in stages["prepared"] if "accelchain_runtime.prepare" in line)
    assert f"ACCELCHAIN_CACHE={base} " in prepare
    assert f"COPY --from=prepared {base} {base}" in stages["worker"]
    assert not base.startswith(pod.WORK_FOLDER)  # the Pod's volume would hide it


def test_the_node_image_needs_no_folder_but_tmp(stages: dict[str, list[str]]) -> None:
    assert environment(stages["node"])["ACCELCHAIN_CACHE"].startswith("/tmp/")


def test_the_context_holds_every_source(root: Path, stages: dict[str, list[str]]) -> None:
    lines = (root / "images" / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = tuple(line[1:] for line in lines if line.startswith("!"))
    copied = {
        source
        for instructions in stages.values()
        for line in instructions
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert {"plugin", "operators", "runtime", "requirements/lock.txt"} <= copied
    for source in copied:
        assert (root / source).exists()
        assert source.startswith(sent), source
