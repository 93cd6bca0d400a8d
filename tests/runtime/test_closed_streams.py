# SPDX-License-Identifier: Apache-2.0
"""A worker whose output nobody takes does its work all the same, and its exit code tells how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from accelchain_runtime import registry


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_the_exit_code_counts_whatever_became_of_the_streams(make_plan, cache, tmp_path, request, streams):
    plan = make_plan([("source", "count-source", {"frames": 3}), ("sink", "collect")], ["source.frames sink.frames"])
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    environment = os.environ | {
        "PYTHONPATH": str(request.config.rootpath / "runtime"),
        registry.FOLDERS_VARIABLE: str(request.path.parent / "functions"),
        "ACCELCHAIN_CACHE": str(cache),
    }
    command = f'exec "{sys.executable}" -m accelchain_runtime.worker --plan "{file}" {streams}'
    assert subprocess.run(["sh", "-c", command], env=environment, timeout=30, check=False).returncode == 0
