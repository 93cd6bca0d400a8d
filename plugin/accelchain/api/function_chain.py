# SPDX-License-Identifier: Apache-2.0
"""FunctionChain: functions and the connections between them, reusable by many flows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from accelchain.api.common import (
    ApiModel,
    Identifier,
    Name,
    ObjectName,
    Parameters,
    PortReference,
    PrinterColumn,
    Resource,
    Rule,
    Status,
    Text,
    list_map,
)
from accelchain.api.function_type import Version
from accelchain.api.parameter import ParameterDeclaration
from accelchain.api.summary import Summary


class Endpoint(ApiModel):
    """Where data enters or leaves the chain; flows give its address."""

    name: Identifier = Field(description="The name that flows give the address by")
    description: Text = Field(default="", description="For people")


class ChainFunction(ApiModel):
    """One function of the chain."""

    name: Name = Field(description="Name within the chain")
    type: Name = Field(description="Name of a function; see kubectl get functiontypes")
    version: Version | None = Field(default=None, description="Exactly this version; the highest where absent")
    parameters: Parameters = Field(default_factory=dict, description="Values for the type's parameters")


class ConnectionParameters(ApiModel):
    """How an edge is run."""

    slots: int | None = Field(default=None, ge=2, le=64, description="Frames that may be under way on this edge")
    latency_microseconds: int | None = Field(
        default=None, ge=0, le=10_000_000, description="Artificial delay a frame, to rehearse a slow link"
    )


class ChainConnection(ApiModel):
    """An edge from an output port to an input port. One output may have several edges (a branch)."""

    source: PortReference = Field(alias="from", description="function.port of an output")
    target: PortReference = Field(alias="to", description="function.port of an input")
    connection_type: ObjectName | None = Field(
        default=None, description="Name of a ConnectionType; every mechanism is allowed where absent"
    )
    parameters: ConnectionParameters | None = Field(default=None, description="How this edge is run")
    when: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Condition for a frame to take this edge. Not supported by this version"
    )


class FunctionChainSpec(ApiModel):
    """Intent of a FunctionChain."""

    cel: ClassVar = (
        Rule(
            "!has(self.connections) || self.connections.all(c, "
            "self.functions.exists(f, c.from.startsWith(f.name + '.')) && "
            "self.functions.exists(f, c.to.startsWith(f.name + '.')))",
            "from and to of a connection are function.port, with a function of this chain",
            ".connections",
        ),
        Rule(
            "!has(self.connections) || !self.connections.exists(c, "
            "self.functions.exists(f, c.from.startsWith(f.name + '.') && c.to.startsWith(f.name + '.')))",
            "a function can't be connected to itself",
            ".connections",
        ),
        Rule(
            "!has(self.connections) || self.connections.all(c, self.connections.exists_one(d, d.to == c.to))",
            "an input port takes one connection",
            ".connections",
        ),
    )

    parameters: list[ParameterDeclaration] = Field(
        default_factory=list,
        max_length=64,
        description="What flows may set: $(parameters.x) in a function's parameters",
        json_schema_extra=list_map("name"),
    )
    inputs: list[Endpoint] = Field(
        default_factory=list,
        max_length=32,
        description="Start points: $(inputs.x.uri) in a function's parameters",
        json_schema_extra=list_map("name"),
    )
    outputs: list[Endpoint] = Field(
        default_factory=list,
        max_length=32,
        description="End points: $(outputs.x.uri) in a function's parameters",
        json_schema_extra=list_map("name"),
    )
    functions: list[ChainFunction] = Field(
        min_length=1, max_length=64, description="The functions of the chain", json_schema_extra=list_map("name")
    )
    connections: list[ChainConnection] = Field(
        default_factory=list,
        max_length=128,
        description="The edges between the functions' ports",
        json_schema_extra=list_map("from", "to"),
    )


class FunctionChainStatus(Status):
    """What the chain operator observed."""

    function_names: Summary = Field(default="", description="Functions of the chain in one line, for kubectl get")


class FunctionChain(Resource):
    """Functions and the connections between them: a template that DataFlows fill in."""

    kind_name = "FunctionChain"
    plural = "functionchains"
    short_names = ("fc",)
    columns = (
        PrinterColumn("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        PrinterColumn("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        PrinterColumn("Functions", "string", ".status.functionNames", 1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    kind: Literal["FunctionChain"] = "FunctionChain"
    spec: FunctionChainSpec
    status: FunctionChainStatus | None = None
