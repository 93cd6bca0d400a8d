# SPDX-License-Identifier: Apache-2.0
"""``accelchain devices``: what this machine has."""

from __future__ import annotations

import json
import subprocess
import sys

import click

from accelchain.cli.errors import RunFailed
from accelchain.cli.terminal import out
from accelchain.cli.wording import columns

_DEADLINE = 60.0


def inventory() -> dict[str, object]:
    """Return this machine's inventory; a process that ends looks, so that no driver stays in memory.

    Raises:
        RunFailed: the drivers could not be asked.
    """
    command = [sys.executable, "-P", "-m", "accelchain_runtime.devices"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"the device drivers did not answer within {_DEADLINE:.0f} s.") from None
    if result.returncode != 0:
        raise RunFailed(f"devices can't be listed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
    found: dict[str, object] = json.loads(result.stdout)
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the inventory as JSON.")
def devices(as_json: bool) -> None:
    """List this machine's devices as the scheduler sees them."""
    found = inventory()
    if as_json:
        out(json.dumps(found, indent=2))
        return
    rows = [["NAME", "TYPE", "API", "UNITS", "MEMORY", "MODEL"]]
    listed = found["devices"]
    assert isinstance(listed, list)
    for device in listed:
        memory = f"{device['memoryBytes'] / 2**30:.1f} GiB"
        rows.append(
            [device["name"], device["type"], device["api"], str(device["computeUnits"]), memory, device["model"]]
        )
    out("\n".join(columns(rows)))
