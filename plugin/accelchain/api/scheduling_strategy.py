# SPDX-License-Identifier: Apache-2.0
"""SchedulingStrategy: which filters and scores decide where functions go."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from accelchain.api.common import (
    LIST_SET,
    ApiModel,
    LocalRef,
    PrinterColumn,
    Resource,
    Rule,
    Status,
    Text,
    list_map,
)

Filter = Literal["Rules", "Capacity", "Memory"]
FILTERS: tuple[Filter, ...] = ("Rules", "Capacity", "Memory")


class Score(ApiModel):
    """A term of the cost that the scheduler minimises."""

    name: Literal["Links", "Load", "Packing", "Preference"] = Field(
        description="Links: time on the edges; Load: share of the device; Packing: devices taken into use; "
        "Preference: the order of implementations in the FunctionType"
    )
    weight: float = Field(default=1.0, ge=0, le=1000, description="Factor of the term; 0 leaves it out")


class SchedulingStrategySpec(ApiModel):
    """Intent of a SchedulingStrategy."""

    description: Text = Field(default="", description="For people")
    extends: LocalRef | None = Field(default=None, description="A strategy whose fields hold where this one has none")
    filters: list[Filter] | None = Field(
        default=None,
        max_length=8,
        description="Devices must pass all of these; Rules and Capacity always hold",
        json_schema_extra=LIST_SET,
    )
    scores: list[Score] | None = Field(
        default=None, max_length=8, description="Terms of the cost, added up", json_schema_extra=list_map("name")
    )
    candidates: int | None = Field(
        default=None, ge=1, le=1000, description="Best devices a function that are looked at (all where absent)"
    )
    max_steps: int | None = Field(
        default=None, ge=100, le=10_000_000, description="Bound of the search on chains with branches and joins"
    )
    parameters: dict[str, float] = Field(
        default_factory=dict, max_length=64, description="For filters of your own. Not supported by this version"
    )


class SchedulingStrategy(Resource):
    """Which filters and scores decide where functions go."""

    kind_name = "SchedulingStrategy"
    plural = "schedulingstrategies"
    short_names = ("ss-accel",)
    namespaced = False
    columns = (
        PrinterColumn("Extends", "string", ".spec.extends.name"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    cel: ClassVar = (
        Rule(
            "!has(self.spec.extends) || self.spec.extends.name != self.metadata.name",
            "a strategy can't extend itself",
            ".spec.extends",
        ),
    )

    kind: Literal["SchedulingStrategy"] = "SchedulingStrategy"
    spec: SchedulingStrategySpec
    status: Status | None = None
