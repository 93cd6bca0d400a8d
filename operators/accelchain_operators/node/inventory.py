# SPDX-License-Identifier: Apache-2.0
"""The runtime's inventory of a machine as a ComputeResource. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

from accelchain.api import API_VERSION, ComputeResource
from accelchain.api.summary import summary

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a frame costs on a link."""

    microseconds: float
    gigabytes_per_second: float = 0.0
    """0: nothing is copied."""


# Typical figures, measured on two cores with PoCL and taken from PCIe 4 for cards. The scheduler only compares them;
# what an edge really costs is measured when it is set up, and reported by the flow.
HANDOVER = Cost(1.0)
SHARED_CONTEXT = Cost(5.0)
MAPPING = Cost(80.0)
MEMORY_COPY = Cost(60.0, 8.0)
BUS_COPY = Cost(30.0, 12.0)


def compute_resource(inventory: Mapping[str, Any], node_name: str) -> JsonObject:
    """Return the ComputeResource of a node as a JSON object.

    Args:
        inventory: what ``python -m accelchain_runtime.devices`` prints: ``devices`` and ``links`` (the mechanisms that
            this runtime has).
        node_name: name of the node and of the object.

    Raises:
        pydantic.ValidationError: the inventory does not fit the resource's schema.
        KeyError: a part of the inventory is missing.
    """
    devices: Sequence[Mapping[str, Any]] = inventory["devices"]
    mechanisms: Sequence[str] = inventory["links"]
    resource: JsonObject = {
        "apiVersion": API_VERSION,
        "kind": "ComputeResource",
        "metadata": {
            "name": node_name,
            "labels": {
                "app.kubernetes.io/name": "accelchain",
                "app.kubernetes.io/component": "node",
                "app.kubernetes.io/managed-by": "accelchain-node",
            },
        },
        "spec": {
            "nodeName": node_name,
            "devices": [dict(device) for device in devices],
            "deviceNames": summary(device["name"] for device in devices),
            "deviceModels": summary(device.get("model", "") for device in devices),
            "links": [
                link
                for source, target in combinations_with_replacement(devices, 2)
                for link in _links(source, target)
                if link["mechanism"] in mechanisms
            ],
        },
    }
    ComputeResource.model_validate(resource)
    return resource


def _links(source: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[JsonObject]:
    """Yield every way between two devices, or from one to itself; a link holds in both directions."""
    for mechanism, cost in _ways(source, target):
        yield {
            "from": source["name"],
            "to": target["name"],
            "mechanism": mechanism,
            "microseconds": cost.microseconds,
            "gigabytesPerSecond": cost.gigabytes_per_second,
        }


def _ways(source: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[tuple[str, Cost]]:
    same = source["name"] == target["name"]
    accelerators = [device for device in (source, target) if device["api"] != "host"]
    one_context = len(accelerators) == 2 and (source["api"], source["driver"]) == (target["api"], target["driver"])
    copy = BUS_COPY if any(device["type"] != "cpu" for device in accelerators) else MEMORY_COPY
    if same:
        yield "same-buffer", HANDOVER
    elif all(device["type"] == "cpu" for device in accelerators):
        yield "shared-host", SHARED_CONTEXT if one_context else MAPPING
    if one_context:
        yield "peer-copy", copy
    copies = max(1, len(accelerators))  # to the host, and from the host
    yield "host-copy", Cost(copy.microseconds * copies, copy.gigabytes_per_second / copies)
