# SPDX-License-Identifier: Apache-2.0
"""What we read of KFP's objects that is not in its reference: tasks of the pipeline that is being built, interfaces.

Seen in KFP 2.15 to 2.17. Whatever another release keeps elsewhere is found out here, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kfp
from kfp.dsl import pipeline_channel, pipeline_context

from accelchain.kfp.authoring.errors import AuthoringError

KNOWN = "2.15 to 2.17"


@dataclass(frozen=True, slots=True)
class Interface:
    """Names of a component's inputs and outputs."""

    input_parameters: tuple[str, ...]
    input_artifacts: tuple[str, ...]
    output_parameters: tuple[str, ...]
    output_artifacts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs."""
        return self.input_parameters + self.input_artifacts

    @property
    def outputs(self) -> tuple[str, ...]:
        """All outputs."""
        return self.output_parameters + self.output_artifacts


class PipelineView:
    """The pipeline whose function is running."""

    def __init__(self, pipeline: Any) -> None:
        try:
            self._tasks, self._groups = pipeline.tasks, pipeline.groups
            self._root = pipeline.groups[0]
            self._nested = self._root.groups
        except (AttributeError, IndexError, TypeError) as error:
            raise _elsewhere("the tasks of a pipeline") from error

    def tasks(self) -> dict[str, Any]:
        """Return the tasks so far, by name; exit tasks are among them."""
        return dict(self._tasks)

    def group(self) -> Any:
        """Return the innermost group that is open: the pipeline's own, or that of an If, a ParallelFor, …."""
        return self._groups[-1]

    def nested_group(self) -> str | None:
        """Return the kind of the first group that the pipeline has (``for-loop``), None where it has none."""
        return kind_of(self._nested[0]) if self._nested else None


def current_pipeline() -> PipelineView | None:
    """Return the pipeline whose function is running; None outside of pipeline functions.

    Raises:
        AuthoringError: this KFP keeps it elsewhere.
    """
    try:
        pipeline = pipeline_context.Pipeline.get_default_pipeline()
    except AttributeError as error:
        raise _elsewhere("the pipeline that is being built") from error
    return None if pipeline is None else PipelineView(pipeline)


def kind_of(group: Any) -> str:
    """Return what a group of tasks is: ``condition``, ``for-loop``, ``exit-handler``, …."""
    return str(getattr(group.group_type, "value", group.group_type))


def interface_of(component_spec: Any) -> Interface:
    """Return the interface of a component, from its ``component_spec``."""
    sides = []
    for specs in (component_spec.inputs or {}, component_spec.outputs or {}):
        artifacts = tuple(name for name, spec in specs.items() if "@" in str(spec.type))  # system.Artifact@0.0.1
        sides += [tuple(name for name in specs if name not in artifacts), artifacts]
    return Interface(*sides)


def task_kind(task: Any) -> str:
    """Return ``container``, ``importer`` or ``pipeline``."""
    if task.importer_spec is not None:
        return "importer"
    return "pipeline" if task.pipeline_spec is not None else "container"


def names_of(task: Any) -> tuple[str, str]:
    """Return the image and the name of the component of a container task."""
    return str(task.container_spec.image), str(task.component_spec.name)


def is_done(task: Any) -> bool:
    """Tell whether the task was run by ``kfp.local`` already, outside of a pipeline."""
    return str(getattr(task.state, "value", "")) == "FINAL"


def edges(tasks: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield producer, output, consumer and input of each value that one task hands to another one of them."""
    for consumer, task in tasks.items():
        for name, value in task.inputs.items():
            if isinstance(value, pipeline_channel.PipelineChannel) and value.task_name in tasks:
                yield value.task_name, value.name, consumer, name


def _elsewhere(what: str) -> AuthoringError:
    return AuthoringError(
        f"KFP {kfp.__version__} keeps {what} elsewhere than KFP {KNOWN}: install one of those, or a newer accelchain."
    )
