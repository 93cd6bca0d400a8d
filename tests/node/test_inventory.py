# SPDX-License-Identifier: Apache-2.0
"""What the scheduler is told about a machine."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from accelchain.api import ComputeResource
from accelchain_operators.node.inventory import compute_resource

MECHANISMS = ["same-buffer", "shared-host", "peer-copy", "host-copy"]


def device(name, type="cpu", api="opencl", driver="PoCL"):
    return {"name": name, "type": type, "api": api, "driver": driver, "memoryBytes": 2**30, "computeUnits": 2}


HOST = device("host", api="host", driver="")


def ways(*devices, mechanisms=MECHANISMS):
    resource = ComputeResource.parse(compute_resource({"devices": devices, "links": mechanisms}, "n"))
    found = {}
    for link in resource.spec.links:
        found.setdefault((link.source, link.target), {})[link.mechanism] = link
    return found


def test_every_pair_is_linked_and_a_device_with_itself():
    found = ways(HOST, device("cpu0"), device("gpu0", "gpu", driver="NVIDIA"))
    assert set(found) == {
        ("host", "host"),
        ("host", "cpu0"),
        ("host", "gpu0"),
        ("cpu0", "cpu0"),
        ("cpu0", "gpu0"),
        ("gpu0", "gpu0"),
    }
    assert all("host-copy" in mechanisms for mechanisms in found.values())


def test_devices_and_their_models_fit_into_a_line():
    cards = [{**device(f"accelerator-{i}", "gpu"), "model": "A100"} for i in range(20)]
    few, many = (
        compute_resource({"devices": [HOST, *some], "links": MECHANISMS}, "n")["spec"] for some in (cards[:2], cards)
    )
    assert (few["deviceNames"], few["deviceModels"]) == ("host, accelerator-0, accelerator-1", "A100")
    assert many["deviceNames"].startswith(few["deviceNames"]) and many["deviceNames"].endswith("…")


@pytest.mark.parametrize(
    ("pair", "mechanisms"),
    [
        ([HOST], {"same-buffer", "host-copy"}),
        ([device("cpu0")], {"same-buffer", "peer-copy", "host-copy"}),
        ([HOST, device("cpu0")], {"shared-host", "host-copy"}),
        ([device("cpu0"), device("cpu1")], {"shared-host", "peer-copy", "host-copy"}),
        ([device("cpu0"), device("cpu1", driver="Intel")], {"shared-host", "host-copy"}),
        ([HOST, device("gpu0", "gpu")], {"host-copy"}),
        ([device("gpu0", "gpu"), device("gpu1", "gpu")], {"peer-copy", "host-copy"}),
        ([device("cpu0"), device("gpu0", "gpu", driver="NVIDIA")], {"host-copy"}),
    ],
)
def test_mechanisms_of_a_pair(pair, mechanisms):
    found = ways(*pair)
    assert set(found[pair[0]["name"], pair[-1]["name"]]) == mechanisms


def test_to_stay_on_a_device_is_cheapest_and_only_copies_grow_with_size():
    found = ways(HOST, device("cpu0"), device("cpu1"))
    costs = {pair: min(link.microseconds for link in links.values()) for pair, links in found.items()}
    assert costs["cpu0", "cpu0"] < costs["cpu0", "cpu1"] < costs["host", "cpu0"]
    for links in found.values():
        for mechanism, link in links.items():
            assert (link.gigabytes_per_second > 0) is mechanism.endswith("-copy")


def test_a_mechanism_that_the_runtime_lacks_is_not_promised():
    found = ways(HOST, device("cpu0"), mechanisms=["same-buffer", "host-copy"])
    assert set(found["host", "cpu0"]) == {"host-copy"}


def test_an_inventory_that_does_not_fit_is_refused():
    with pytest.raises(ValidationError, match="computeUnit"):
        compute_resource({"devices": [{**HOST, "computeUnits": 0}], "links": MECHANISMS}, "n")
