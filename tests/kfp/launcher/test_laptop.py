# SPDX-License-Identifier: Apache-2.0
"""What a chain wishes of a cluster, on a laptop."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain.kfp.launcher.laptop import placed_here

HERE = {
    "spec": {
        "nodeName": "vm",
        "devices": [{"name": "host", "type": "cpu"}, {"name": "cpu0", "type": "cpu"}],
    }
}


@pytest.mark.parametrize(
    ("rules", "left", "notes"),
    [
        ([{"deviceTypes": ["gpu", "cpu"]}], [{"deviceTypes": ["gpu", "cpu"]}], []),
        ([{"nodes": ["vm"], "devices": ["vm/cpu0"]}], [{"nodes": ["vm"], "devices": ["vm/cpu0"]}], []),
        ([{"devices": ["cpu0"]}], [{"devices": ["cpu0"]}], []),
        (
            [{"nodes": ["far"]}, {"function": "detect", "deviceTypes": ["gpu", "fpga"], "implementations": ["opencl"]}],
            [{"function": "detect", "implementations": ["opencl"]}],
            [
                "the chain asks for far, which this machine has not: left out.",
                "function detect asks for gpu or fpga, which this machine has not: left out.",
            ],
        ),
        (
            [{"function": "a", "devices": ["far/cpu0"]}],
            None,
            ["function a asks for far/cpu0, which this machine has not: left out."],
        ),
    ],
)
def test_wishes_for_what_is_not_here(rules: list[Any], left: list[Any] | None, notes: list[str]) -> None:
    spec = {"chain": {}, "placement": {"strategyRef": {"name": "x"}, "rules": rules}}
    found, said = placed_here(spec, [HERE])
    wanted = {"strategyRef": {"name": "x"}} | ({} if left is None else {"rules": left})
    assert (found, said) == ({"chain": {}, "placement": wanted}, notes)
    assert spec["placement"]["rules"] == rules


def test_nothing_is_left_of_a_placement_that_nothing_fits() -> None:
    assert placed_here({"chain": {}, "placement": {"rules": [{"nodes": ["x"]}]}}, [HERE])[0] == {"chain": {}}
    assert placed_here({"chain": {}}, [HERE]) == ({"chain": {}}, [])
