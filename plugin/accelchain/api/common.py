# SPDX-License-Identifier: Apache-2.0
"""What all kinds share: metadata, conditions, references and the base of a resource."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

GROUP = "accelchain.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
IDENTIFIER = r"^[A-Za-z][-A-Za-z0-9_]*$"
PORT_REFERENCE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\.[A-Za-z][-A-Za-z0-9_]*$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""A DNS-1123 label: names of functions, types and objects that end up in names of other objects."""
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
"""What Kubernetes takes for an object's name."""
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=IDENTIFIER)]
"""Names of parameters, ports, inputs and outputs."""
Text = Annotated[str, StringConstraints(max_length=1024)]
Uri = Annotated[str, StringConstraints(max_length=2048)]
PortReference = Annotated[str, StringConstraints(max_length=127, pattern=PORT_REFERENCE)]
"""``function.port``."""
# A structural schema has no union of types. A schema without a type that wants objects of no and at least one property,
# and lists of no and at least one item, is what the API server takes for "neither object nor list".
Scalar = Annotated[
    bool | int | float | Annotated[str, StringConstraints(max_length=4096)],
    WithJsonSchema(
        {
            "x-kubernetes-preserve-unknown-fields": True,
            "minProperties": 1,
            "maxProperties": 0,
            "minItems": 1,
            "maxItems": 0,
            "maxLength": 4096,
        }
    ),
]
"""A parameter's value. A string may be a reference: ``$(parameters.x)``, ``$(inputs.x.uri)``, ``$(outputs.x.uri)``."""
Parameters = Annotated[dict[str, Scalar], Field(max_length=64)]
"""Values of parameters by name."""
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC, seconds: ``2026-01-31T12:00:00Z``."""
DeviceType = Literal["cpu", "gpu", "fpga"]
DeviceApi = Literal["host", "opencl", "cuda"]


def list_map(*keys: str) -> dict[str, Any]:
    """Return the schema extension that makes a list a map for server-side apply, keyed by ``keys``."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


LIST_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
LIST_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


class Rule(NamedTuple):
    """A rule in CEL that the API server holds an object to. One that names ``oldSelf`` holds for updates only."""

    rule: str
    message: str
    field_path: str = ""
    """The field that the error is shown at, ``.spec.mode``; the object itself where empty."""

    def to_dict(self) -> dict[str, str]:
        """Return the rule as an item of ``x-kubernetes-validations``."""
        return {"rule": self.rule, "message": self.message} | (
            {"fieldPath": self.field_path} if self.field_path else {}
        )


def _add_rules(schema: JsonDict, model: type[BaseModel]) -> None:
    """Put a model's CEL rules into its JSON schema."""
    assert issubclass(model, ApiModel)
    if model.cel:
        schema["x-kubernetes-validations"] = [dict(rule.to_dict()) for rule in model.cel]


class ApiModel(BaseModel):
    """A piece of a resource: camelCase outside, snake_case inside, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", json_schema_extra=_add_rules
    )

    cel: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules that the CRD's schema carries for this object."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that Kubernetes sees, without fields that were never set."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True, exclude_unset=True)


class OwnerReference(ApiModel):
    """The object that this one is deleted with."""

    model_config = ConfigDict(extra="ignore")
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """The part of Kubernetes' metadata that this project reads; the rest is kept out of the models."""

    model_config = ConfigDict(extra="ignore")
    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)
    finalizers: list[str] = Field(default_factory=list)


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(description="What is said")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="CamelCase word for machines"
    )
    message: Annotated[str, StringConstraints(max_length=4096)] = Field(
        default="", description="A sentence that a user can act on"
    )
    observed_generation: int = Field(default=0, ge=0, description="Generation of spec that this speaks of")
    last_transition_time: Timestamp = Field(default="", description="When status last changed")


class Status(ApiModel):
    """What the operators observed."""

    observed_generation: int = Field(default=0, description="Generation of spec that the conditions speak of")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="What is known of it, each with a reason for machines and a sentence",
        json_schema_extra=list_map("type"),
    )


class LocalRef(ApiModel):
    """An object of the same namespace, or a cluster-scoped one."""

    name: ObjectName = Field(description="The object's name")


class PrinterColumn(NamedTuple):
    """A column of ``kubectl get``."""

    name: str
    type: str
    json_path: str
    priority: int = 0
    description: str = ""


class Resource(ApiModel):
    """A custom resource; subclasses give ``spec`` and ``status``."""

    model_config = ConfigDict(extra="ignore")

    kind_name: ClassVar[str]
    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    namespaced: ClassVar[bool] = True
    columns: ClassVar[tuple[PrinterColumn, ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()

    api_version: Literal["accelchain.io/v1alpha1"] = "accelchain.io/v1alpha1"
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)

    @classmethod
    def parse(cls, obj: dict[str, Any]) -> Self:
        """Build the model from a Kubernetes object.

        Raises:
            pydantic.ValidationError: the object does not fit the schema.
        """
        return cls.model_validate(obj)
