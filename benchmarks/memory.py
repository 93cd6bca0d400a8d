# SPDX-License-Identifier: Apache-2.0
"""Memory of an idle ``up`` and of its warm worker; prints one JSON document. MB are 10^6 bytes.

Resident memory (RSS) is what the goals are about; the proportional share (PSS) counts pages that both use by halves.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from running_up import children, memory_mb, running_up

GOALS = {"up_mb": 150.0, "warm_worker_mb": 200.0}


def measure(idle_seconds: float) -> dict[str, Any]:
    """Let ``up`` idle, and look."""
    with running_up() as up:
        time.sleep(idle_seconds)
        own = memory_mb(up.pid)
        workers = [memory_mb(child) for child in children(up.pid)]
    return {
        "idle_seconds": idle_seconds,
        "up_mb": own["rss"],
        "up_pss_mb": own["pss"],
        "warm_worker_mb": max(worker["rss"] for worker in workers),
        "warm_worker_pss_mb": max(worker["pss"] for worker in workers),
        "processes": 1 + len(workers),
        "goals": GOALS,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    print(json.dumps(measure(parser.parse_args().idle_seconds), indent=2))


if __name__ == "__main__":
    main()
