# SPDX-License-Identifier: Apache-2.0
"""``offload``: the mark of ``@accelerated`` for one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kfp.dsl import base_component, pipeline_task

from accelchain.kfp.authoring.accelerated import wish_of
from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.kfp_objects import interface_of, is_done, task_kind
from accelchain.kfp.authoring.literal import Scalar
from accelchain.kfp.authoring.marks import Place, Wishes, attach

if TYPE_CHECKING:
    from accelchain.api.common import DeviceType

T = TypeVar("T")


def offload(
    task: T,
    function: str,
    *,
    version: str | None = None,
    parameters: Mapping[str, Place | Scalar] | None = None,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    addresses: Mapping[str, Place] | None = None,
    results: Mapping[str, str] | None = None,
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    rate: float | None = None,
) -> T:
    """Say which function of the cluster a task is, in a pipeline function; the arguments are those of ``accelerated``.

    Returns:
        The task.

    Raises:
        AuthoringError: the task is an importer, a pipeline or was run already, or ``accelerated`` would raise it.
    """
    made: Any = task
    if not isinstance(task, pipeline_task.PipelineTask):
        what = f"component '{made.name}'" if isinstance(task, base_component.BaseComponent) else repr(task)
        raise AuthoringError(
            f"offload takes a task, not {what}: call the component in a pipeline function, and offload what it returns."
        )
    where = f"task '{made.name}'"
    if is_done(made):
        raise AuthoringError(f"{where} has run already: call offload in a pipeline function, or mark the component.")
    if (kind := task_kind(made)) != "container":
        raise AuthoringError(f"{where} is {'an importer' if kind == 'importer' else 'a pipeline'}: it is no function.")
    wish = wish_of(
        function,
        version=version,
        parameters=parameters,
        inputs=inputs,
        outputs=outputs,
        addresses=addresses,
        results=results,
        wishes=Wishes(
            device_types=device_types, devices=devices, nodes=nodes, implementations=implementations, rate=rate
        ),
    )
    attach(made, wish.mark(interface_of(made.component_spec), where))
    return task
