# SPDX-License-Identifier: Apache-2.0
"""How worker Pods are made: image, resources, confinement. An administrator's file, or the laptop's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from accelchain.api.common import DeviceType

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?([eE][0-9]+|m|k|[KMGTPE]i?)?$")]
WholeNumber = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*$")]
ExtendedResource = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")]
"""``nvidia.com/gpu``: what a device plugin offers; cpu and memory belong under ``resources``."""
JsonObject = dict[str, Any]


class _Options(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
    )


class Resources(_Options):
    """Requests and limits of the worker's container, as in a Pod."""

    requests: dict[str, Quantity] = Field(default_factory=dict)
    limits: dict[str, Quantity] = Field(default_factory=dict)


class DeviceOptions(_Options):
    """What a worker's container gets for every device of one type that it uses."""

    resources: dict[ExtendedResource, WholeNumber] = Field(default_factory=dict)
    """Extended resources for each device: two devices ask for twice as many."""
    security_context: JsonObject = Field(default_factory=dict)
    """Laid over the container's security context: every exception from the restricted profile is named here."""
    volumes: tuple[JsonObject, ...] = ()
    volume_mounts: tuple[JsonObject, ...] = ()


class WorkerOptions(_Options):
    """How worker Pods are made. Without a file: confined, and no resources asked for."""

    image: Annotated[str, StringConstraints(min_length=1)] = "accelchain-worker"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    resources: Resources = Field(default_factory=Resources)
    devices: dict[DeviceType, DeviceOptions] = Field(default_factory=dict)
    confined: bool = True
    """Files only inside the flow's volumes, networks only as ``allow`` opens them."""
    allow: tuple[str, ...] = ()
    """Private hosts, host:port or CIDRs that workers may reach all the same."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[JsonObject, ...] = ()
    priority_class_name: str = ""
    runtime_class_name: str = ""

    in_image: ClassVar[bool] = True
    """Workers live in an image: its root is read-only, and the Pod brings folders for what they write."""


class LaptopOptions(WorkerOptions):
    """Workers are processes of the user who runs the embedded kubelet: they may do what that user may."""

    confined: bool = False
    in_image: ClassVar[bool] = False


class WorkerOptionsError(Exception):
    """The file with worker options can't be used; the message says which field, and why."""


def load_worker_options(path: Path | str) -> WorkerOptions:
    """Read worker options from a YAML file; an empty file is all defaults.

    Raises:
        WorkerOptionsError: it can't be read, or does not fit, in one sentence.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise WorkerOptionsError(f"worker options {path} can't be read: {why}") from None
    except yaml.YAMLError as error:
        raise WorkerOptionsError(f"worker options {path} are no YAML: {' '.join(str(error).split())}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise WorkerOptionsError(f"worker options {path}: a mapping is wanted, such as `image: accelchain-worker`")
    try:
        return WorkerOptions.model_validate(content)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise WorkerOptionsError(f"worker options {path}: {found}") from None
