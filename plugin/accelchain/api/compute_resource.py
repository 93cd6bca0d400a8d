# SPDX-License-Identifier: Apache-2.0
"""ComputeResource: the devices of one node and the links between them, as its node agent sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from accelchain.api.common import (
    LIST_ATOMIC,
    ApiModel,
    DeviceApi,
    DeviceType,
    ObjectName,
    PrinterColumn,
    Resource,
    Status,
    list_map,
)
from accelchain.api.connection_type import Mechanism
from accelchain.api.summary import Summary

Word = Annotated[str, StringConstraints(max_length=256)]


class Region(ApiModel):
    """A part of a device that holds functions of its own (an FPGA's reconfigurable region)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(description="Name on the device")
    type: Word = Field(default="", description="What implementations ask for by regionTypes")
    max_functions: int = Field(default=1, ge=1, le=1024, description="Functions that the region can hold at once")


class Device(ApiModel):
    """A device of the node."""

    name: Annotated[str, StringConstraints(max_length=63)] = Field(description="host, cpu0, gpu0, fpga0, …")
    type: DeviceType = Field(description="What placement rules choose by deviceTypes")
    api: DeviceApi = Field(description="How functions reach it")
    id: Word = Field(default="", description="How the runtime finds the device again")
    model: Word = Field(default="", description="The vendor's name of it")
    driver: Word = Field(default="", description="Driver or platform and its version")
    compute_units: int = Field(default=1, ge=1, description="Cores or compute units")
    memory_bytes: int = Field(default=0, ge=0, description="Memory that functions can use; 0: unknown, not counted")
    numa_node: int = Field(default=-1, ge=-1, description="NUMA node that it is nearest to; -1: unknown")
    pcie_root: Word = Field(default="", description="PCIe root complex that it hangs from, as pci0000:00")
    max_functions: int = Field(default=64, ge=0, le=4096, description="Functions that the device can hold at once")
    regions: list[Region] = Field(
        default_factory=list,
        max_length=64,
        description="Parts that hold functions of their own. No function is placed on regions in this version",
        json_schema_extra=list_map("name"),
    )


class Link(ApiModel):
    """A measured or known way between two devices of the node."""

    source: Word = Field(alias="from", description="Device of this node")
    target: Word = Field(alias="to", description="Device of this node; links hold in both directions")
    mechanism: Mechanism = Field(description="How data gets there")
    microseconds: float = Field(default=0.0, ge=0, description="Fixed cost a frame")
    gigabytes_per_second: float = Field(default=0.0, ge=0, description="0: no copy, the cost does not grow with size")


class ComputeResourceSpec(ApiModel):
    """The inventory, published by the node agent."""

    node_name: ObjectName = Field(description="The Kubernetes Node")
    devices: list[Device] = Field(
        default_factory=list, max_length=128, description="Devices of the node", json_schema_extra=list_map("name")
    )
    device_names: Summary = Field(default="", description="Names of the devices in one line, for kubectl get")
    device_models: Summary = Field(default="", description="Their models in one line, for kubectl get -o wide")
    links: list[Link] = Field(
        default_factory=list, max_length=1024, description="Ways between devices", json_schema_extra=LIST_ATOMIC
    )
    lease_name: Word = Field(default="", description="Lease that the agent renews; empty: no heartbeat is kept")
    lease_duration_seconds: int = Field(default=40, ge=1, description="The node counts as lost this long after")


class ComputeResource(Resource):
    """The devices of one node and the links between them."""

    kind_name = "ComputeResource"
    plural = "computeresources"
    short_names = ("cres",)
    namespaced = False
    columns = (
        PrinterColumn("Node", "string", ".spec.nodeName"),
        PrinterColumn("Devices", "string", ".spec.deviceNames"),
        PrinterColumn("Models", "string", ".spec.deviceModels", 1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )
    selectable = (".spec.nodeName",)

    kind: Literal["ComputeResource"] = "ComputeResource"
    spec: ComputeResourceSpec
    status: Status | None = None
