# SPDX-License-Identifier: Apache-2.0
"""Publishing: once, only on a change, and with a reason when the drivers don't answer."""

from __future__ import annotations

import json
import sys

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.node.agent import InventoryError, publish

HOST = {"name": "host", "type": "cpu", "api": "host", "id": "host", "driver": "", "computeUnits": 2, "memoryBytes": 1}


class Api:
    """Keeps one object and fills a default in, as a server does."""

    def __init__(self):
        self.stored = None
        self.applies = 0

    async def get(self, type, name, namespace=None):
        if self.stored is None:
            raise ApiError(404, "NotFound", name)
        return self.stored

    async def apply(self, type, obj, *, field_manager, force=True):
        assert (type.kind, field_manager) == ("ComputeResource", "accelchain-node")
        self.applies += 1
        devices = [{"maxFunctions": 64, "regions": [], **device} for device in obj["spec"]["devices"]]
        self.stored = {**obj, "spec": {**obj["spec"], "devices": devices}}
        return self.stored


def prints(text):
    return (sys.executable, "-c", f"print({text!r})")


def inventory(**changes):
    return prints(json.dumps({"devices": [{**HOST, **changes}], "links": ["same-buffer", "host-copy"]}))


async def test_it_writes_only_what_changed():
    api = Api()
    first = await publish(api, "laptop", command=inventory())
    assert first["spec"]["nodeName"] == first["metadata"]["name"] == "laptop"
    await publish(api, "laptop", command=inventory())
    assert api.applies == 1
    await publish(api, "laptop", command=inventory(memoryBytes=2))
    assert api.applies == 2
    assert api.stored["spec"]["devices"][0]["memoryBytes"] == 2


async def test_the_devices_are_those_of_the_workers_environment():
    script = (
        "import json, os; print(json.dumps({'devices': [{**" + repr(HOST) + ", 'model': os.environ['MODEL']}], "
        "'links': []}))"
    )
    found = await publish(Api(), "laptop", {"MODEL": "abacus"}, command=(sys.executable, "-c", script))
    assert found["spec"]["devices"][0]["model"] == "abacus"


@pytest.mark.parametrize(
    ("command", "deadline", "message"),
    [
        ((sys.executable, "-c", "raise SystemExit('no OpenCL platform')"), 20, "code 1: no OpenCL platform"),
        ((sys.executable, "-c", "import time; time.sleep(600)"), 0.2, r"took more than 0.2 s"),
        (("/nonexistent/python",), 20, "did not start"),
        (prints("no JSON"), 20, "not usable"),
        (prints('{"devices": []}'), 20, "not usable: 'links'"),
        (prints('{"devices": [{"name": "x"}], "links": []}'), 20, "not usable"),
    ],
)
async def test_why_there_is_no_inventory(command, deadline, message):
    api = Api()
    with pytest.raises(InventoryError, match=message):
        await publish(api, "laptop", command=command, deadline_seconds=deadline)
    assert api.applies == 0
