# SPDX-License-Identifier: Apache-2.0
"""FunctionType: a versioned function with typed ports, parameters and implementations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from accelchain.api.common import (
    LIST_ATOMIC,
    LIST_SET,
    ApiModel,
    DeviceApi,
    DeviceType,
    Identifier,
    Name,
    PrinterColumn,
    Resource,
    Rule,
    Status,
    Text,
    list_map,
)
from accelchain.api.parameter import ParameterDeclaration
from accelchain.api.summary import Summary

SEMVER = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$"
Version = Annotated[str, StringConstraints(max_length=64, pattern=SEMVER)]
QUANTITY = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
Quantity = Annotated[str, StringConstraints(max_length=32, pattern=QUANTITY)]
DIMENSION = r"^\$?[A-Za-z][A-Za-z0-9_]*$"
Dimension = Annotated[
    int | Annotated[str, StringConstraints(max_length=64, pattern=DIMENSION)],
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 64, "pattern": DIMENSION}),
]


class Port(ApiModel):
    """What goes into a function or comes out of it."""

    name: Identifier = Field(description="Name of the port")
    type: Identifier = Field(default="tensor", description="frames, detections, tensor, or a name of your own")
    dtype: Annotated[str, StringConstraints(max_length=16)] = Field(default="uint8", description="numpy element type")
    shape: list[Dimension] = Field(
        default_factory=list,
        max_length=6,
        description="A number is fixed, a name is free, $name is the value of that parameter",
        json_schema_extra=LIST_ATOMIC,
    )
    optional: bool = Field(default=False, description="An input that may stay open")
    description: Text = Field(default="", description="What a frame of this port is")


class KernelSource(ApiModel):
    """An OpenCL kernel that is a whole function, without Python."""

    file: Annotated[str, StringConstraints(max_length=255)] = Field(description="File beside the manifest")
    name: Identifier = Field(description="Name of the kernel")
    work_items: Literal["elements", "pixels", "rows"] = Field(
        default="elements", description="What of the first output a work item makes"
    )


class Implementation(ApiModel):
    """One way to run the function, and what it demands of a device."""

    cel: ClassVar = (
        Rule(
            "has(self.entrypoint) != has(self.kernel)",
            "give exactly one of entrypoint (Python) and kernel (OpenCL)",
        ),
        Rule("!has(self.kernel) || self.api == 'opencl'", "kernel is for api opencl", ".api"),
        Rule(
            "self.api != 'host' || !has(self.deviceTypes) || self.deviceTypes.all(t, t == 'cpu')",
            "api host runs on device type cpu only",
            ".deviceTypes",
        ),
    )

    name: Name = Field(description="The name that placement rules choose it by")
    api: DeviceApi = Field(description="host: a Python function on the CPU; opencl, cuda: kernels on a device")
    device_types: list[DeviceType] = Field(
        default=["cpu"],
        min_length=1,
        max_length=3,
        description="Types of device that it runs on",
        json_schema_extra=LIST_SET,
    )
    region_types: list[Annotated[str, StringConstraints(max_length=63)]] = Field(
        default_factory=list,
        max_length=16,
        description="Types of a device's regions that hold it. Not supported by this version: it is never placed",
        json_schema_extra=LIST_SET,
    )
    entrypoint: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        default=None, description="file:Class, the Python file beside the manifest"
    )
    kernel: KernelSource | None = Field(default=None, description="A kernel that needs no Python")
    frames_per_second: float = Field(
        default=100.0, gt=0, description="What one device can do alone; capacity is counted with it"
    )
    memory: Quantity = Field(default="64Mi", description="Memory of the device that one function takes")


class FunctionTypeSpec(ApiModel):
    """Intent of a FunctionType."""

    cel: ClassVar = (
        Rule(
            "(self.role == 'source') == (!has(self.inputs) || size(self.inputs) == 0)",
            "role source, and only it, has no inputs",
            ".inputs",
        ),
        Rule(
            "(self.role == 'sink') == (!has(self.outputs) || size(self.outputs) == 0)",
            "role sink, and only it, has no outputs",
            ".outputs",
        ),
    )

    function: Name | None = Field(default=None, description="The function's name; the object's name where absent")
    version: Version = Field(default="1.0.0", description="Semantic version; with the name it identifies a function")
    description: Text = Field(default="", description="What the function does, in a sentence")
    role: Literal["source", "transform", "sink"] = Field(
        default="transform", description="source: has no inputs; sink: has no outputs"
    )
    inputs: list[Port] = Field(
        default_factory=list, max_length=16, description="What goes in", json_schema_extra=list_map("name")
    )
    outputs: list[Port] = Field(
        default_factory=list, max_length=16, description="What comes out", json_schema_extra=list_map("name")
    )
    parameters: list[ParameterDeclaration] = Field(
        default_factory=list, max_length=64, description="What chains may set", json_schema_extra=list_map("name")
    )
    implementations: list[Implementation] = Field(
        min_length=1, max_length=16, description="Preferred one first", json_schema_extra=list_map("name")
    )
    replaces: list[Annotated[str, StringConstraints(max_length=255)]] = Field(
        default_factory=list,
        max_length=64,
        description="Container images and component names that this function can stand for",
        json_schema_extra=LIST_SET,
    )


class FunctionTypeStatus(Status):
    """What the chain operator observed."""

    apis: Summary = Field(default="", description="APIs of the implementations in one line, for kubectl get")


class FunctionType(Resource):
    """A versioned function: typed ports, parameters, and implementations with their demands and rates."""

    kind_name = "FunctionType"
    plural = "functiontypes"
    short_names = ("ft",)
    namespaced = False
    columns = (
        PrinterColumn("Version", "string", ".spec.version"),
        PrinterColumn("Apis", "string", ".status.apis"),
        PrinterColumn("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        PrinterColumn("Description", "string", ".spec.description", 1),
    )

    kind: Literal["FunctionType"] = "FunctionType"
    spec: FunctionTypeSpec
    status: FunctionTypeStatus | None = None

    @property
    def function(self) -> str:
        """The name that chains call this function by."""
        return self.spec.function or self.metadata.name
