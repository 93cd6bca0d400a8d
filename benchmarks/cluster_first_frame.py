# SPDX-License-Identifier: Apache-2.0
"""``kubectl apply`` of a file until the first frame, as seen from inside the cluster's network, for cluster.py.

``cluster_first_frame.py KUBECONFIG NAMESPACE FLOW FILE``. Prints one line of JSON: seconds since kubectl was started.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from one_flow import follow

from accelchain_operators.kube.http_client import HttpClient

DEADLINE = 120.0
KUBECTL = Path(sys.executable).with_name("kubectl")


async def measure(kubeconfig: Path, namespace: str, flow: str, file: Path) -> dict[str, float]:
    """Apply and follow."""
    began = time.monotonic()
    command = [KUBECTL, "--kubeconfig", kubeconfig, "-n", namespace, "apply", "-f", file]
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    applied = time.monotonic() - began
    client = HttpClient.from_kubeconfig(kubeconfig)
    try:
        moments = await follow(client, flow, namespace, began, DEADLINE)
    finally:
        await client.close()
    return {
        "applied": applied,
        "worker has its task": moments.task,
        "first frame": moments.first_frame,
        "succeeded": moments.end,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))))
