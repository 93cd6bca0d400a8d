# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared by chains and function types, given by flows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from accelchain.api.common import LIST_ATOMIC, ApiModel, Identifier, Rule, Scalar, Text

ParameterType = Literal["string", "integer", "number", "boolean"]


class ParameterDeclaration(ApiModel):
    """A parameter's name, type and limits."""

    cel: ClassVar = (
        Rule(
            "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
            "minimum must not exceed maximum",
            ".minimum",
        ),
        Rule(
            "self.type in ['integer', 'number'] || (!has(self.minimum) && !has(self.maximum))",
            "minimum and maximum are for integer and number",
            ".type",
        ),
        Rule("!has(self.format) || self.type == 'string'", "format is for string", ".format"),
    )

    name: Identifier = Field(description="The name that values are given by")
    type: ParameterType = Field(default="string", description="Type that a value must have; integer fits number")
    description: Text = Field(default="", description="What the parameter does, with its unit")
    default: Scalar | None = Field(default=None, description="Taken where no value is given")
    required: bool = Field(default=False, description="A value must be given; has no default")
    minimum: float | None = Field(default=None, description="Smallest value allowed, for integer and number")
    maximum: float | None = Field(default=None, description="Largest value allowed, for integer and number")
    enum: list[Scalar] | None = Field(
        default=None, max_length=64, description="The only values allowed", json_schema_extra=LIST_ATOMIC
    )
    format: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="uri-input: the address of a source; uri-output: the address of a sink"
    )
