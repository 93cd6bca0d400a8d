# SPDX-License-Identifier: Apache-2.0
"""Tasks that may be functions of a chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelchain.kfp.core.catalogue import Catalogue
from accelchain.kfp.core.pipeline import Pipeline, configs_of, is_undeclared
from accelchain.kfp.core.platform import wishes
from accelchain.kfp.core.report import JsonObject, Stop
from accelchain.kfp.core.role import Interface, Role, role_of

_TASK_CONFIG = "TASK_CONFIG"
_ONE_AT_A_TIME = ("artifactIterator", "parameterIterator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A task with its role."""

    name: str
    task: JsonObject
    component: JsonObject
    role: Role
    placement: Mapping[str, Any]
    notes: Sequence[str]
    """What of its pod is left out."""

    @property
    def interface(self) -> Interface:
        """What the component takes and gives."""
        return Interface.of(self.component)

    @property
    def parameters(self) -> Mapping[str, JsonObject]:
        """Where its parameters come from."""
        return (self.task.get("inputs") or {}).get("parameters") or {}

    @property
    def artifacts(self) -> Mapping[str, JsonObject]:
        """Where its artifacts come from."""
        return (self.task.get("inputs") or {}).get("artifacts") or {}


class Members:
    """Finds members in a pipeline."""

    def __init__(self, pipeline: Pipeline, catalogue: Catalogue) -> None:
        self._pipeline, self._catalogue = pipeline, catalogue
        self._components = pipeline.spec.get("components") or {}
        self._executors = (pipeline.spec.get("deploymentSpec") or {}).get("executors") or {}
        self._kubernetes = configs_of(pipeline.platforms, "kubernetes")
        self._marks = pipeline.marks

    def is_marked(self, task: JsonObject) -> bool:
        """Tell whether somebody marked a task's component."""
        return self._component(task).get("executorLabel") in self._marks

    def chain(self, task: JsonObject) -> JsonObject | None:
        """Return what a task's mark says of its chain, whatever else is wrong with it."""
        mark = self._marks.get(self._component(task).get("executorLabel", ""))
        found = mark.get("chain") if isinstance(mark, dict) else None
        if isinstance(found, str):
            return {"kind": "group", "name": found}
        return {"kind": "group", **found} if isinstance(found, dict) and isinstance(found.get("name"), str) else None

    def find(self, name: str, task: JsonObject) -> Member | None:
        """Return a task as a member; None where it is no function.

        Raises:
            Stop: it can't be one though it is marked.
        """
        component = self._component(task)
        label = component.get("executorLabel")
        mark = self._marks.get(label or "")
        executor = self._executors.get(label or "") or {}
        if "container" not in executor:
            if mark is None:
                return None
            what = "an importer" if "importer" in executor else "no container"
            raise Stop("importer", name, f"it is {what}, which is no function: take the mark away.")
        image = str((executor["container"] or {}).get("image", ""))
        title = str(task["componentRef"]["name"]).removeprefix("comp-")
        role = role_of(name, mark, title, component, image, self._catalogue)
        if role is None:
            return None
        if task.get("triggerPolicy"):
            raise Stop(
                "trigger", name, "it runs on a condition of its own, a chain runs whole: leave it out of the chain."
            )
        if any(key in task for key in _ONE_AT_A_TIME):
            raise Stop("loop", name, "it is looped over by itself, a chain is looped over whole: loop over the chain.")
        placement, notes = wishes(name, executor, self._kubernetes.get(label or "", {}), role.placement)
        notes = [*notes, *_left_out(task, Interface.of(component), role)]
        member = Member(name=name, task=task, component=component, role=role, placement=placement, notes=notes)
        _account(member)
        return member

    def _component(self, task: JsonObject) -> JsonObject:
        found: JsonObject = self._components[task["componentRef"]["name"]]
        return found


def _left_out(task: JsonObject, interface: Interface, role: Role) -> Iterator[str]:
    """Yield what of a task is left out, as the function has it not."""
    if (task.get("cachingOptions") or {}).get("cacheKey"):
        yield "its cache key (a chain's is all that it takes)"
    given = set(role.used_outputs())
    for output in (*interface.output_artifacts, *interface.output_parameters):
        if output not in given:
            yield f"its output '{output}', which the function does not give and no task takes"


def _account(member: Member) -> None:
    """See that the function takes all that the task is given.

    Raises:
        Stop: an input is left over.
    """
    used, interface = set(member.role.used_inputs()), member.interface
    for name in (*member.parameters, *member.artifacts):
        declared = name in interface.input_parameters or name in interface.input_artifacts
        kind = (interface.input_parameters.get(name) or {}).get("parameterType")
        if not declared and is_undeclared(name):
            continue
        if name not in used and kind != _TASK_CONFIG:
            function = member.role.type.function
            raise Stop(
                "interface",
                member.name,
                f"its input '{name}' is nothing of function '{function}': leave it out, or map it in the mark.",
            )
