# SPDX-License-Identifier: Apache-2.0
"""Flows under seeded random faults, as many as wanted: ``python tests/faults/run.py --flows 200 --seed 1``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugin"))
sys.path.insert(0, str(Path(__file__).parents[2] / "operators"))

from faultkit.trial import Trial


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs flows while things go wrong, and judges how each of them ended.")
    flows = int(os.environ.get("ACCELCHAIN_FAULT_FLOWS", "200"))
    parser.add_argument("--flows", type=int, default=flows, help="how many (%(default)s)")
    seed = int(os.environ.get("ACCELCHAIN_FAULT_SEED", "1"))
    parser.add_argument("--seed", type=int, nargs="+", default=[seed], help="one trial for each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which things go wrong (%(default)s)")
    parser.add_argument("--replicas", type=int, default=2, help="of each operator; 1: without Leases (%(default)s)")
    parser.add_argument("--nodes", type=int, default=4, help="simulated ones (%(default)s)")
    options = parser.parse_args()
    failed = False
    for seed in options.seed:
        trial = Trial(
            seed,
            options.flows,
            options.seconds,
            replicas=options.replicas,
            nodes=options.nodes,
            patience=120.0,
            thorough=True,
        )
        report = asyncio.run(trial.run())
        for problem in report.problems:
            print(problem)
        print(report.line(), flush=True)
        failed = failed or bool(report.problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
