# SPDX-License-Identifier: Apache-2.0
"""ConnectionType: which mechanisms an edge may use, and how it behaves under pressure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from accelchain.api.common import LIST_ATOMIC, ApiModel, Name, PrinterColumn, Resource, Status, Text

Mechanism = Literal["same-buffer", "shared-host", "peer-copy", "host-copy"]
MECHANISMS: tuple[Mechanism, ...] = ("same-buffer", "shared-host", "peer-copy", "host-copy")


class ConnectionTypeSpec(ApiModel):
    """Intent of a ConnectionType."""

    description: Text = Field(default="", description="For people")
    mechanisms: list[Mechanism] = Field(
        default=list(MECHANISMS),
        min_length=1,
        max_length=16,
        description="Mechanisms that an edge may use; the fastest that verifies is taken",
        json_schema_extra=LIST_ATOMIC,
    )
    slots: int = Field(default=4, ge=2, le=64, description="Frames that may be under way on an edge")
    encryption: Literal["None", "Required"] = Field(
        default="None", description="Required is not supported by this version"
    )
    policy: Literal["Block", "DropOldest", "DropNewest", "Latest"] = Field(
        default="Block", description="What happens when the reader is slow. Only Block is supported by this version"
    )
    conversion: Name | None = Field(
        default=None, description="Function to put between ports that do not fit. Not supported by this version"
    )


class ConnectionType(Resource):
    """Which mechanisms an edge may use, and how it behaves under pressure."""

    kind_name = "ConnectionType"
    plural = "connectiontypes"
    short_names = ("ct",)
    namespaced = False
    columns = (
        PrinterColumn("Mechanisms", "string", ".spec.mechanisms"),
        PrinterColumn("Policy", "string", ".spec.policy"),
        PrinterColumn("Encryption", "string", ".spec.encryption"),
    )

    kind: Literal["ConnectionType"] = "ConnectionType"
    spec: ConnectionTypeSpec
    status: Status | None = None
