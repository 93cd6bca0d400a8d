# SPDX-License-Identifier: Apache-2.0
"""Types for authors: the artifacts between components, and what a component looks like to a type checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

from kfp import dsl

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

P = ParamSpec("P")


class Frames(dsl.Artifact):  # type: ignore[misc]  # KFP has no types
    """A file of uncompressed pictures, as ``accelchain step`` writes it. KFP lets no Detections into its place."""

    schema_title = "system.Frames"
    schema_version = "0.0.1"


class Detections(dsl.Artifact):  # type: ignore[misc]
    """A file of detections, as ``accelchain step`` writes it; ``write_detections`` makes JSON lines of it."""

    schema_title = "system.Detections"
    schema_version = "0.0.1"


class Component(Protocol[P]):
    """A component of KFP's: a call in a pipeline makes a task, a call elsewhere runs it by ``kfp.local``."""

    name: str
    description: str | None
    component_spec: Any
    python_func: Callable[..., Any]
    """Of a lightweight Python component."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> PipelineTask:
        """Make a task. KFP takes keyword arguments only."""
        ...

    @property
    def pipeline_spec(self) -> Any:
        """The component as KFP's PipelineSpec."""
        ...

    @property
    def platform_spec(self) -> Any:
        """What platforms are told of it."""
        ...
