# SPDX-License-Identifier: Apache-2.0
"""``kubectl logs`` reads what the node's log source gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "i"}]},
    "status": {"phase": "Running"},
}


async def _source(namespace, pod, container="", follow=False, tail_lines=None):
    lines = [b"first\n", b"second\n", b"third\n"]
    for line in lines[-tail_lines:] if tail_lines else lines:
        yield line


def test_kubectl_logs(threaded_kube, tmp_path):
    server = threaded_kube()
    server.call(lambda: server.kube.put(POD))
    server.kube.add_log_source("n", _source)
    server.kube.write_kubeconfig(tmp_path / "kubeconfig")
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path)}

    def logs(*options):
        command = [str(Path(sys.executable).with_name("kubectl")), "logs", "p", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=True).stdout

    assert logs() == "first\nsecond\nthird\n"
    assert logs("-f", "--tail=1", "-c", "main") == "third\n"
