# SPDX-License-Identifier: Apache-2.0
"""The plan: everything a worker process needs to know about its part of a flow.

Operators write it, the runtime reads it, and it is all that the two share. ``plan.schema.json`` beside this file is
generated from these models (``python -m accelchain_runtime.engine.plan``); a test fails when they differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

PLAN_VERSION: Final = "plan.accelchain.io/v1"
SCHEMA_FILE = Path(__file__).with_name("plan.schema.json")

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Mechanism = Literal["same-buffer", "shared-host", "peer-copy", "host-copy"]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
"""Name of an environment variable of the worker."""


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class FlowIdentity(_Model):
    """Whose plan this is: for logs, status and temporary names."""

    namespace: Name = "default"
    name: Name
    uid: str = ""


class DevicePlan(_Model):
    """A device of this node that functions of the plan are bound to."""

    name: Name = Field(description="As in the node's ComputeResource: host, cpu0, gpu0, fpga0")
    api: Literal["host", "opencl", "cuda"]
    device_id: str = Field(default="", description="The identity that the device reported in the inventory")


class PortRef(_Model):
    """One port of one function."""

    function: Name
    port: Name


class FunctionPlan(_Model):
    """One function, bound to a device, its parameters resolved."""

    name: Name
    type: Name = Field(description="The function's type, as the registry of functions knows it: detect-person")
    version: str = ""
    implementation: Name = Field(description="Name of the implementation within the function's manifest")
    device: Name = Field(description="Name of a device of this plan")
    parameters: dict[str, Any] = Field(default_factory=dict)
    origins: dict[str, str] = Field(
        default_factory=dict,
        description="For each parameter the field of the DataFlow that it came from: errors name that field",
    )


class ConnectionPlan(_Model):
    """One edge and the mechanisms that it may use, the preferred one first."""

    source: PortRef = Field(alias="from")
    target: PortRef = Field(alias="to")
    mechanisms: list[Mechanism] = Field(default_factory=lambda: list(get_args(Mechanism)), min_length=1)
    slots: int = Field(default=4, ge=2, le=64, description="Frames that may be under way on this edge (its credits)")
    latency_microseconds: int = Field(
        default=0, ge=0, le=10_000_000, description="Artificial delay a frame, to rehearse a slow link"
    )


class AttemptPlan(_Model):
    """Which attempt at the flow this is, and where its sources begin."""

    number: int = Field(default=1, ge=1, description="Counted from 1; the grant to publish names it")
    start_frame: int = Field(
        default=0,
        ge=0,
        description="Number of the first frame: files are read from there on, live sources count from it",
    )


class VolumePlan(_Model):
    """A volume of the flow, mounted for this worker: what a confined worker may open as ``file:`` addresses."""

    mount_path: str = Field(pattern=r"^/", description="Where the flow's addresses say it is")
    read_only: bool = False
    environment: Variable = Field(description="The variable whose value is the folder where the worker finds it")


class BucketPlan(_Model):
    """Where an address's bucket is, if that does not come from its credentials."""

    endpoint: str = Field(default="", description="host:port, without http://; Amazon's where empty")
    region: str = ""
    insecure: bool = Field(default=False, description="The endpoint speaks http, not https")


class CredentialsPlan(_Model):
    """Credentials for one address."""

    uri: str = Field(min_length=1, description="The value of a function's uri parameter, exactly")
    folder: Variable | None = Field(
        default=None, description="The variable whose value is the folder of the credentials: a file a key"
    )
    s3: BucketPlan | None = None


class Plan(_Model):
    """A worker's whole task."""

    api_version: Literal["plan.accelchain.io/v1"] = PLAN_VERSION
    flow: FlowIdentity
    node: Name = "localhost"
    mode: Literal["Batch", "Stream"] = "Batch"
    devices: list[DevicePlan] = Field(min_length=1)
    functions: list[FunctionPlan] = Field(min_length=1)
    connections: list[ConnectionPlan] = Field(default_factory=list)
    attempt: AttemptPlan = AttemptPlan()
    fenced: bool = Field(
        default=False,
        description="Whether finished sinks publish only once POST /publish has granted it; else they publish at once",
    )
    volumes: list[VolumePlan] = Field(default_factory=list)
    confined: bool = Field(
        default=False,
        description="Whether addresses may name nothing but volumes and what is neither private nor of this machine",
    )
    credentials: list[CredentialsPlan] = Field(default_factory=list)
    allow: list[str] = Field(
        default_factory=list,
        description="Networks, hosts and host:port that a confined worker may reach all the same",
    )
    deadline_seconds: float | None = Field(default=None, gt=0, description="The worker ends as Failed after this long")
    token_sha256: str = Field(default="", description="Hex digest of the token that opens the worker's status")

    @classmethod
    def load(cls, text: str | bytes) -> Plan:
        """Parse a plan from JSON.

        Raises:
            pydantic.ValidationError: the document is no plan of this version.
        """
        return cls.model_validate_json(text)

    def dump(self) -> str:
        """Return the plan as canonical JSON (sorted keys, no defaults left out)."""
        return json.dumps(self.model_dump(by_alias=True, mode="json"), sort_keys=True, separators=(",", ":"))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the plan."""
    schema: dict[str, Any] = Plan.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=2, sort_keys=True) + "\n")
