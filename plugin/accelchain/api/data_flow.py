# SPDX-License-Identifier: Apache-2.0
"""DataFlow: run this chain, with these parameters, from these inputs to these outputs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from accelchain.api.common import (
    LIST_ATOMIC,
    LIST_SET,
    ApiModel,
    Condition,
    DeviceType,
    LocalRef,
    Name,
    ObjectName,
    Parameters,
    PortReference,
    PrinterColumn,
    Resource,
    Rule,
    Uri,
    list_map,
)
from accelchain.api.data_flow_status import DataFlowStatus, Word
from accelchain.api.function_chain import ConnectionParameters, FunctionChainSpec

DeviceName = Annotated[str, StringConstraints(min_length=1, max_length=317)]
"""``device`` or ``node/device``."""


class SecretKey(ApiModel):
    """One key of a Secret of the same namespace."""

    name: ObjectName = Field(description="The Secret's name")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._A-Za-z0-9]+$")] = Field(
        description="The key within the Secret"
    )


class S3Access(ApiModel):
    """How a bucket is reached, in the words of Argo's artifacts: keys of Secrets, each named for itself."""

    cel: ClassVar = (
        Rule(
            "has(self.accessKeySecret) == has(self.secretKeySecret)",
            "give accessKeySecret and secretKeySecret together, or neither for a public bucket",
            ".accessKeySecret",
        ),
        Rule(
            "!has(self.sessionTokenSecret) || has(self.accessKeySecret)",
            "a session token is of no use without accessKeySecret and secretKeySecret",
            ".sessionTokenSecret",
        ),
        Rule(
            "!has(self.insecure) || !self.insecure || !has(self.caSecret)",
            "caSecret is for https: leave it out, or insecure",
            ".caSecret",
        ),
        Rule(
            "!has(self.insecure) || !self.insecure || has(self.endpoint)",
            "insecure is for an endpoint of one's own: give endpoint, or leave it out",
            ".insecure",
        ),
    )

    endpoint: (
        Annotated[
            str, StringConstraints(max_length=259, pattern=r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
        ]
        | None
    ) = Field(default=None, description="host:port without http://; Amazon's where absent")
    region: Annotated[str, StringConstraints(max_length=63, pattern=r"^[-a-z0-9]+$")] | None = Field(
        default=None, description="The bucket's region; us-east-1 where absent"
    )
    insecure: bool = Field(default=False, description="Speak http to the endpoint, not https")
    access_key_secret: SecretKey | None = Field(default=None, description="Holds the access key's id")
    secret_key_secret: SecretKey | None = Field(default=None, description="Holds the secret access key")
    session_token_secret: SecretKey | None = Field(default=None, description="Holds the session token, if there is one")
    ca_secret: SecretKey | None = Field(
        default=None, description="Holds certificates (PEM) that are trusted besides the system's"
    )


class Address(ApiModel):
    """Where an input is read or an output is written."""

    cel: ClassVar = (
        Rule(
            "!has(self.s3) || !has(self.credentialsRef)",
            "give s3 or credentialsRef, not both",
            ".s3",
        ),
        Rule(
            "!has(self.s3) || self.uri.startsWith('s3://')",
            "s3 is for an address s3://bucket/key: leave it out, or correct uri",
            ".s3",
        ),
    )

    uri: Uri = Field(description="file:///path, http(s)://…; what a function's manifest says it can open")
    credentials_ref: LocalRef | None = Field(
        default=None,
        description="A Secret of the same namespace that opens the address: accessKeyId, secretAccessKey, "
        "sessionToken, region and endpoint for s3; username and password for http and rtsp; token for http; ca.crt",
    )
    s3: S3Access | None = Field(
        default=None, description="How the bucket of an s3 address is reached, in place of credentialsRef"
    )


class ClaimSource(ApiModel):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: ObjectName = Field(description="The PersistentVolumeClaim's name")


_SYSTEM_FOLDERS = "etc|dev|proc|sys|tmp|var|usr|bin|sbin|lib|lib64|opt|run"


class Volume(ApiModel):
    """A volume that the workers see: file:///… addresses of the flow lie in it."""

    cel: ClassVar = (
        Rule(
            "self.mountPath.matches('^(/[^/]+)+$') && !self.mountPath.matches('/[.][.]?(/|$)')",
            "mountPath is an absolute folder without . or .. or a slash at its end, such as /data",
            ".mountPath",
        ),
        Rule(
            f"!self.mountPath.matches('^/({_SYSTEM_FOLDERS})(/|$)')",
            "mountPath can't lie in a folder that the worker itself needs: choose one such as /data",
            ".mountPath",
        ),
    )

    name: Name = Field(description="Name of the volume within the flow")
    mount_path: Annotated[str, StringConstraints(min_length=2, max_length=512)] = Field(
        description="Folder where the flow's addresses find it: /data for file:///data/street.mp4"
    )
    read_only: bool = Field(default=False, description="Nothing is written to it")
    persistent_volume_claim: ClaimSource = Field(description="What is mounted")


class FunctionOverride(ApiModel):
    """Parameters for one function that go before the chain's."""

    function: Name = Field(description="Function of the chain")
    parameters: Parameters = Field(default_factory=dict, description="Values for the type's parameters")


class ConnectionOverride(ApiModel):
    """Parameters for one connection that go before the chain's."""

    source: PortReference = Field(alias="from", description="function.port of an output")
    target: PortReference = Field(alias="to", description="function.port of an input")
    connection_type: ObjectName | None = Field(default=None, description="A ConnectionType in place of the chain's")
    parameters: ConnectionParameters = Field(default_factory=ConnectionParameters, description="How the edge is run")


class FunctionRate(ApiModel):
    """A function's own load, where it differs from the flow's."""

    function: Name = Field(description="Function of the chain")
    frames_per_second: float = Field(gt=0, description="Frames a second that this function is to take")


class ConnectionRate(ApiModel):
    """A connection's own load, where it differs from the flow's."""

    source: PortReference = Field(alias="from", description="function.port of an output")
    target: PortReference = Field(alias="to", description="function.port of an input")
    frames_per_second: float = Field(gt=0, description="Frames a second that this edge is to carry")


class Rate(ApiModel):
    """The load that the flow declares; devices are reserved for it."""

    frames_per_second: float = Field(gt=0, description="Frames a second that every function is to take")
    functions: list[FunctionRate] = Field(
        default_factory=list,
        max_length=64,
        description="Functions whose load differs",
        json_schema_extra=list_map("function"),
    )
    connections: list[ConnectionRate] = Field(
        default_factory=list,
        max_length=128,
        description="Connections whose load differs. Not supported by this version",
        json_schema_extra=list_map("from", "to"),
    )


class PlacementRule(ApiModel):
    """Where functions may run. All rules that name a function hold for it."""

    cel: ClassVar = (
        Rule(
            "!has(self.deviceTypes) || !has(self.excludeDeviceTypes) || "
            "!self.deviceTypes.exists(t, t in self.excludeDeviceTypes)",
            "a device type can't be wanted and excluded",
            ".excludeDeviceTypes",
        ),
        Rule(
            "!has(self.nodes) || !has(self.excludeNodes) || !self.nodes.exists(n, n in self.excludeNodes)",
            "a node can't be wanted and excluded",
            ".excludeNodes",
        ),
        Rule(
            "!has(self.devices) || !has(self.excludeDevices) || !self.devices.exists(d, d in self.excludeDevices)",
            "a device can't be wanted and excluded",
            ".excludeDevices",
        ),
    )

    function: Name | None = Field(default=None, description="This rule's function; all functions where absent")
    nodes: list[ObjectName] = Field(
        default_factory=list, max_length=64, description="Only on these nodes", json_schema_extra=LIST_SET
    )
    exclude_nodes: list[ObjectName] = Field(
        default_factory=list, max_length=64, description="Not on these nodes", json_schema_extra=LIST_SET
    )
    device_types: list[DeviceType] = Field(
        default_factory=list, max_length=3, description="Only on devices of these types", json_schema_extra=LIST_SET
    )
    exclude_device_types: list[DeviceType] = Field(
        default_factory=list, max_length=3, description="Not on devices of these types", json_schema_extra=LIST_SET
    )
    devices: list[DeviceName] = Field(
        default_factory=list,
        max_length=64,
        description="Only on these devices, named as accelchain devices shows them: cpu0, or node/cpu0",
        json_schema_extra=LIST_SET,
    )
    exclude_devices: list[DeviceName] = Field(
        default_factory=list, max_length=64, description="Not on these devices", json_schema_extra=LIST_SET
    )
    regions: list[Word] = Field(
        default_factory=list,
        max_length=64,
        description="Only on these regions of devices. Not supported by this version",
        json_schema_extra=LIST_SET,
    )
    exclude_regions: list[Word] = Field(
        default_factory=list,
        max_length=64,
        description="Not on these regions of devices. Not supported by this version",
        json_schema_extra=LIST_SET,
    )
    implementations: list[Name] = Field(
        default_factory=list, max_length=16, description="Only these implementations", json_schema_extra=LIST_SET
    )


class Placement(ApiModel):
    """Rules for the scheduler."""

    rules: list[PlacementRule] = Field(
        default_factory=list, max_length=64, description="All of them hold", json_schema_extra=LIST_ATOMIC
    )


class Retries(ApiModel):
    """How often a failed flow is tried again."""

    limit: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Attempts that may follow failed ones. Bad input, a "
        "missed deadline and cancellation are never tried again",
    )


class DataFlowSpec(ApiModel):
    """Intent of a DataFlow."""

    cel: ClassVar = (
        Rule("has(self.chain) != has(self.chainRef)", "give exactly one of chain and chainRef"),
        Rule(
            "!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(w, w.mountPath == v.mountPath))",
            "two volumes can't have one mountPath",
            ".volumes",
        ),
    )

    chain_ref: LocalRef | None = Field(default=None, description="A FunctionChain of the same namespace")
    chain: FunctionChainSpec | None = Field(default=None, description="The chain itself, in place of a reference")
    parameters: Parameters = Field(default_factory=dict, description="Values for the chain's parameters")
    function_parameters: list[FunctionOverride] = Field(
        default_factory=list,
        max_length=64,
        description="Parameters of single functions; they go before the chain's",
        json_schema_extra=list_map("function"),
    )
    connection_parameters: list[ConnectionOverride] = Field(
        default_factory=list,
        max_length=128,
        description="Parameters of single connections; they go before the chain's",
        json_schema_extra=list_map("from", "to"),
    )
    inputs: dict[str, Address] = Field(
        default_factory=dict, max_length=32, description="Addresses for the chain's inputs, by name"
    )
    outputs: dict[str, Address] = Field(
        default_factory=dict, max_length=32, description="Addresses for the chain's outputs, by name"
    )
    mode: Literal["Batch", "Stream"] = Field(
        default="Batch", description="Batch ends Succeeded or Failed; Stream runs until it is deleted"
    )
    rate: Rate | None = Field(default=None, description="Declared load; nothing is reserved where absent")
    placement: Placement | None = Field(default=None, description="Where functions may run; anywhere where absent")
    strategy_ref: LocalRef | None = Field(default=None, description="A SchedulingStrategy")
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        description="Failed with DeadlineExceeded this long after the first worker started, all attempts together",
    )
    retries: Retries | None = Field(default=None, description="How often a failed flow is tried again")
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, description="Delete the flow, with all that it owns, this long after it finished"
    )
    suspend: bool = Field(
        default=False,
        description="Stop the workers and hold no devices, until it is false again. A Stream flow goes on where it was",
    )
    dry_run: bool = Field(
        default=False, description="Place and plan, reserve and run nothing; the plan is in status.plan"
    )
    cancel: bool = Field(default=False, description="End the flow as Failed, reason Cancelled. It can't be taken back")
    volumes: list[Volume] = Field(
        default_factory=list,
        max_length=16,
        description="Volumes that the workers see",
        json_schema_extra=list_map("name"),
    )


_PLANNED = (
    "chainRef",
    "inputs",
    "outputs",
    "connectionParameters",
    "mode",
    "rate",
    "placement",
    "strategyRef",
    "activeDeadlineSeconds",
    "dryRun",
    "volumes",
)
"""Fields of the spec that the plan is made of, and that CEL can compare."""


def _fixed_once_placed(field: str) -> Rule:
    """Return the rule that keeps a field as it is once devices are reserved: the plan of it can't be changed."""
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    return Rule(
        "!has(oldSelf.status) || !has(oldSelf.status.placement) || size(oldSelf.status.placement) == 0 || "
        "(has(oldSelf.spec.dryRun) && oldSelf.spec.dryRun) || "
        f"(has({new}) == has({old}) && (!has({new}) || {new} == {old}))",
        f"{field} can't be changed once the flow is placed: delete the DataFlow and create it anew",
        f".spec.{field}",
    )


class DataFlow(Resource):
    """A pipeline: which chain runs, with which parameters, from which inputs to which outputs."""

    kind_name = "DataFlow"
    plural = "dataflows"
    short_names = ("df",)
    columns = (
        PrinterColumn("Phase", "string", ".status.phase"),
        PrinterColumn("Frames", "integer", ".status.progress.frames"),
        PrinterColumn("FPS", "number", ".status.progress.framesPerSecond"),
        PrinterColumn("Devices", "string", ".status.deviceNames", 1),
        PrinterColumn("Reason", "string", '.status.conditions[?(@.status=="False")].reason', 1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    # parameters, functionParameters and chain hold values of any scalar type, which CEL can't see
    cel: ClassVar = (
        *map(_fixed_once_placed, _PLANNED),
        Rule(
            "!has(oldSelf.spec.cancel) || !oldSelf.spec.cancel || (has(self.spec.cancel) && self.spec.cancel)",
            "cancel can't be taken back: create the DataFlow anew",
            ".spec.cancel",
        ),
    )

    kind: Literal["DataFlow"] = "DataFlow"
    spec: DataFlowSpec
    status: DataFlowStatus | None = None

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, if it is there."""
        return next((c for c in (self.status.conditions if self.status else ()) if c.type == kind), None)
