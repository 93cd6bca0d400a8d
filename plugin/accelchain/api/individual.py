# SPDX-License-Identifier: Apache-2.0
"""WBFunction and WBConnection: the individual layer, one object a function and one an edge of a running flow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from accelchain.api.common import (
    LIST_ATOMIC,
    ApiModel,
    DeviceApi,
    DeviceType,
    Identifier,
    LocalRef,
    Name,
    ObjectName,
    Parameters,
    PrinterColumn,
    Resource,
    Status,
)
from accelchain.api.connection_type import Mechanism
from accelchain.api.data_flow_status import Word
from accelchain.api.function_chain import ConnectionParameters


class WBFunctionSpec(ApiModel):
    """This function, on this device of this node."""

    data_flow_ref: LocalRef = Field(description="The flow that this is a part of")
    function: Name = Field(description="Name within the chain")
    type: Name = Field(description="Function of the FunctionType")
    version: Word = Field(description="Version of the FunctionType")
    implementation: Name = Field(description="Implementation of the FunctionType")
    node_name: ObjectName = Field(description="Node that it runs on")
    device: Word = Field(description="Device of the node that it runs on")
    device_type: DeviceType = Field(description="Type of the device")
    api: DeviceApi = Field(description="How the device is reached")
    load: float = Field(default=0.0, ge=0, description="Share of the device that is reserved")
    parameters: Parameters = Field(default_factory=dict, description="Values, references replaced")


class WBFunctionStatus(Status):
    """What the worker reports."""

    phase: Word = Field(default="", description="Pending, Running, Succeeded or Failed")
    frames: int = Field(default=0, description="Frames finished")
    frames_per_second: float = Field(default=0.0, description="Frames finished a second, lately")
    microseconds: float = Field(default=0.0, description="Working time a frame, mean")


class WBFunction(Resource):
    """This function, on this device of this node. Made by the operators; owned by its DataFlow."""

    kind_name = "WBFunction"
    plural = "wbfunctions"
    short_names = ("wbf",)
    columns = (
        PrinterColumn("Flow", "string", ".spec.dataFlowRef.name"),
        PrinterColumn("Type", "string", ".spec.type"),
        PrinterColumn("Node", "string", ".spec.nodeName"),
        PrinterColumn("Device", "string", ".spec.device"),
        PrinterColumn("Implementation", "string", ".spec.implementation"),
        PrinterColumn("Phase", "string", ".status.phase"),
    )
    selectable = (".spec.nodeName",)

    kind: Literal["WBFunction"] = "WBFunction"
    spec: WBFunctionSpec
    status: WBFunctionStatus | None = None


class WBEnd(ApiModel):
    """One end of an edge."""

    function: Name = Field(description="Function of the chain")
    port: Identifier = Field(description="Port of the function")
    node_name: ObjectName = Field(description="Node that the function runs on")
    device: Word = Field(description="Device that the function runs on")


class WBConnectionSpec(ApiModel):
    """This edge, between these devices, by one of these mechanisms."""

    data_flow_ref: LocalRef = Field(description="The flow that this is a part of")
    source: WBEnd = Field(alias="from", description="Where frames come from")
    target: WBEnd = Field(alias="to", description="Where frames go")
    mechanisms: list[Mechanism] = Field(
        min_length=1, max_length=16, description="Mechanisms that it may use", json_schema_extra=LIST_ATOMIC
    )
    parameters: ConnectionParameters | None = Field(default=None, description="How it is run")


class WBConnectionStatus(Status):
    """What the worker measured."""

    phase: Word = Field(default="", description="Pending, Running, Succeeded or Failed")
    mechanism: Word = Field(default="", description="Mechanism that was verified and taken")
    copies: int = Field(default=0, description="Copies a frame")
    microseconds: float = Field(default=0.0, description="From the frame being ready to the reader having it, median")
    gigabytes_per_second: float = Field(default=0.0, description="Size of a frame by that time")


class WBConnection(Resource):
    """This edge of a running flow, with its mechanism and measured cost. Made by the operators."""

    kind_name = "WBConnection"
    plural = "wbconnections"
    short_names = ("wbc",)
    columns = (
        PrinterColumn("Flow", "string", ".spec.dataFlowRef.name"),
        PrinterColumn("From", "string", ".spec.from.function"),
        PrinterColumn("To", "string", ".spec.to.function"),
        PrinterColumn("Mechanism", "string", ".status.mechanism"),
        PrinterColumn("Copies", "integer", ".status.copies"),
        PrinterColumn("us", "number", ".status.microseconds"),
        PrinterColumn("Phase", "string", ".status.phase"),
    )

    kind: Literal["WBConnection"] = "WBConnection"
    spec: WBConnectionSpec
    status: WBConnectionStatus | None = None
