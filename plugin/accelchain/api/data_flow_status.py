# SPDX-License-Identifier: Apache-2.0
"""A DataFlow's status: what the operators observed of a flow."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from accelchain.api.common import (
    LIST_ATOMIC,
    ApiModel,
    DeviceType,
    Identifier,
    Name,
    ObjectName,
    PortReference,
    Status,
    Text,
    Timestamp,
    Uri,
    list_map,
)
from accelchain.api.summary import Summary

Word = Annotated[str, StringConstraints(max_length=64)]
NameOrEmpty = Annotated[str, StringConstraints(max_length=253)]


class FunctionPlacement(ApiModel):
    """Where the scheduler put a function."""

    function: Name = Field(description="Function of the chain")
    node: ObjectName = Field(description="Node that it runs on")
    device: Word = Field(description="Device of the node that it runs on")
    device_type: DeviceType = Field(default="cpu", description="Type of the device")
    api: Word = Field(default="host", description="How the device is reached")
    implementation: Name = Field(description="Implementation of the FunctionType that was chosen")
    version: Word = Field(default="", description="Version of the FunctionType")
    load: float = Field(default=0.0, ge=0, description="Share of the device that is reserved, 1.0 being all of it")


class EdgeStatus(ApiModel):
    """How an edge runs, as the worker measured it."""

    source: PortReference = Field(alias="from", description="function.port of an output")
    target: PortReference = Field(alias="to", description="function.port of an input")
    mechanism: Word = Field(default="", description="Mechanism that was verified and taken")
    copies: int = Field(default=0, description="Copies a frame")
    microseconds: float = Field(default=0.0, description="From the frame being ready to the reader having it, median")
    gigabytes_per_second: float = Field(default=0.0, description="Size of a frame by that time")
    verified: bool = Field(default=False, description="A pattern came through unharmed when the flow was set up")


class Progress(ApiModel):
    """Frames that every sink has finished."""

    frames: int = Field(default=0, description="Frames finished")
    total: int | None = Field(default=None, description="Frames that the source announced, where it knows")
    frames_per_second: float = Field(default=0.0, description="Frames finished a second")


class OutputParameter(ApiModel):
    """A small result."""

    name: Word = Field(description="function.name")
    value: Text = Field(description="The value as text")


class OutputArtifact(ApiModel):
    """A result at an address."""

    name: Identifier = Field(description="Output of the chain")
    uri: Uri = Field(description="Where it was written")


class Outputs(ApiModel):
    """What the flow produced."""

    parameters: list[OutputParameter] = Field(
        default_factory=list, max_length=64, description="Small results", json_schema_extra=list_map("name")
    )
    artifacts: list[OutputArtifact] = Field(
        default_factory=list, max_length=64, description="Results at addresses", json_schema_extra=list_map("name")
    )


class WorkerStatus(ApiModel):
    """A worker pod and where its live figures are read."""

    pod: ObjectName = Field(description="The worker pod")
    node: NameOrEmpty = Field(default="", description="Node that it runs on")
    address: Word = Field(default="", description="IP:port of the worker's status")
    secret: NameOrEmpty = Field(default="", description="Secret of this namespace whose key token opens it")
    live: list[Text] = Field(
        default_factory=list,
        max_length=16,
        description="Paths of live video at that address",
        json_schema_extra=LIST_ATOMIC,
    )


class ResolvedFunction(ApiModel):
    """The function type that a function of the chain resolved to."""

    name: Name = Field(description="Name within the chain")
    type: Name = Field(description="Function of the FunctionType")
    version: Word = Field(description="Version of the FunctionType")


class ResolvedChain(ApiModel):
    """Which chain and function types this flow runs, as they were when it was accepted."""

    name: NameOrEmpty = Field(default="", description="The FunctionChain; empty where the chain is in the flow")
    generation: int = Field(default=0, description="Generation of the FunctionChain")
    functions: list[ResolvedFunction] = Field(
        default_factory=list, max_length=64, description="Functions of the chain", json_schema_extra=list_map("name")
    )


class AttemptFailure(ApiModel):
    """Why an attempt failed."""

    attempt: int = Field(ge=1, description="Number of the attempt")
    reason: Word = Field(description="CamelCase word for machines, as in the condition Failed")
    message: Text = Field(default="", description="What happened")
    time: Timestamp = Field(description="When it failed")


class DataFlowStatus(Status):
    """What the operators observed."""

    phase: Word = Field(default="", description="One word for kubectl get; conditions are the truth")
    attempt: int = Field(
        default=0, description="Number of the attempt that runs or comes next; every plan is an attempt of its own"
    )
    placed_attempt: int = Field(default=0, description="The attempt that placement was made for")
    failed_attempts: int = Field(default=0, description="Attempts that failed: what spec.retries.limit is held against")
    failures: list[AttemptFailure] = Field(
        default_factory=list,
        max_length=8,
        description="The last attempts that failed, oldest first",
        json_schema_extra=LIST_ATOMIC,
    )
    position: int = Field(default=0, description="Frames that earlier attempts of a Stream flow published")
    chain: ResolvedChain | None = Field(default=None, description="What the chain resolved to")
    placement: list[FunctionPlacement] = Field(
        default_factory=list,
        max_length=64,
        description="Where the scheduler put the functions",
        json_schema_extra=list_map("function"),
    )
    device_names: Summary = Field(
        default="", description="Devices of the placement in one line, with their nodes where it has several"
    )
    edges: list[EdgeStatus] = Field(
        default_factory=list,
        max_length=128,
        description="How the edges run, as measured",
        json_schema_extra=list_map("from", "to"),
    )
    progress: Progress | None = Field(default=None, description="Frames finished; written every 10 s at most")
    outputs: Outputs | None = Field(default=None, description="What the flow produced")
    workers: list[WorkerStatus] = Field(
        default_factory=list,
        max_length=64,
        description="Worker pods, and where their live figures are read",
        json_schema_extra=list_map("pod"),
    )
    warnings: list[Text] = Field(
        default_factory=list,
        max_length=16,
        description="What went wrong without ending the flow",
        json_schema_extra=LIST_ATOMIC,
    )
    plan: dict[str, Any] | None = Field(
        default=None,
        description="Dry run: the plan as a worker would get it",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    start_time: Timestamp | None = Field(default=None, description="When the first worker began")
    completion_time: Timestamp | None = Field(default=None, description="When the flow finished")


def outputs_from(parameters: dict[str, Any]) -> list[OutputParameter]:
    """Return a worker's output parameters in the form of the status."""
    return [OutputParameter(name=key, value=str(value)) for key, value in sorted(parameters.items())]
