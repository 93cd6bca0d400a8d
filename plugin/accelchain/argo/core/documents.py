# SPDX-License-Identifier: Apache-2.0
"""Where Argo's documents hold templates: Workflow, WorkflowTemplate, ClusterWorkflowTemplate and CronWorkflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

JsonObject = dict[str, Any]

GROUP: Final = "argoproj.io"
KINDS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


@dataclass(frozen=True, slots=True)
class Place:
    """One template of a document."""

    name: str
    """The template's name; of an inline one, the task that holds it."""
    path: str
    """The field: ``spec.templates[0]``, ``spec.workflowSpec.templates[1].dag.tasks[0].inline``."""
    template: JsonObject
    holder: Any
    """The list or mapping that holds the template, to put another one in its place."""
    key: int | str
    defaults: JsonObject
    """``templateDefaults`` of the document."""


def is_argo(document: Any) -> bool:
    """Tell whether a document holds templates of Argo's."""
    return (
        isinstance(document, dict)
        and str(document.get("apiVersion", "")).partition("/")[0] == GROUP
        and document.get("kind") in KINDS
    )


def is_list(document: Any) -> bool:
    """Tell whether a document is one of kubectl's lists, which hold documents."""
    return isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list)


def templates(document: JsonObject) -> Iterator[Place]:
    """Yield all templates of a document, inline ones after the one that holds them; what has no form is left out."""
    for path, spec in workflow_specs(document):
        defaults = spec.get("templateDefaults")
        known = defaults if isinstance(defaults, dict) else {}
        for i, template in enumerate(_list(spec.get("templates"))):
            if isinstance(template, dict):
                at = f"{path}.templates[{i}]"
                name = str(template.get("name", ""))
                yield Place(name, at, template, spec["templates"], i, known)
                yield from _inline(template, at, name, known)


def workflow_specs(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield the WorkflowSpec of a document with its field."""
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    if document.get("kind") == "CronWorkflow":
        if isinstance(spec.get("workflowSpec"), dict):
            yield "spec.workflowSpec", spec["workflowSpec"]
    else:
        yield "spec", spec


def _inline(template: JsonObject, path: str, name: str, defaults: JsonObject) -> Iterator[Place]:
    dag = template.get("dag")
    calls = [
        (f"{path}.dag.tasks[{i}]", task)
        for i, task in enumerate(_list(dag.get("tasks") if isinstance(dag, dict) else None))
    ]
    for i, group in enumerate(_list(template.get("steps"))):
        calls += [(f"{path}.steps[{i}][{j}]", step) for j, step in enumerate(_list(group))]
    for at, call in calls:
        inline = call.get("inline") if isinstance(call, dict) else None
        if isinstance(inline, dict):
            yield Place(f"{name}.{call.get('name', '')}", f"{at}.inline", inline, call, "inline", defaults)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
