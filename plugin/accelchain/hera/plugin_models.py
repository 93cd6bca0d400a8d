# SPDX-License-Identifier: Apache-2.0
"""Repairs Hera 7's model of ``plugin:`` templates, which is an empty class: bodies vanish from YAML, both ways."""

from __future__ import annotations

from hera.workflows import models
from hera.workflows.models import Plugin
from pydantic import BaseModel

_HOLDERS = (
    "Template",
    "DAGTask",
    "DAGTemplate",
    "WorkflowStep",
    "ParallelSteps",
    "WorkflowSpec",
    "Workflow",
    "WorkflowTemplate",
    "CronWorkflowSpec",
    "CronWorkflow",
    "ClusterWorkflowTemplate",
)
"""Models whose compiled schema holds ``Plugin``, each after those that it is made of."""


def enable_plugin_templates() -> bool:
    """Make Hera keep the bodies of plugin templates, in ``to_yaml`` and in ``from_yaml``.

    Importing ``accelchain.hera`` calls it. Calling it again, or where Hera keeps them by itself, changes nothing.

    Returns:
        Whether anything was changed.
    """
    body = {"accelchain": {"kept": True}}
    template: BaseModel = models.Template.model_validate({"plugin": body})
    if template.model_dump(exclude_none=True, by_alias=True, warnings="none").get("plugin") == body:
        return False
    Plugin.model_config["extra"] = "allow"
    Plugin.model_rebuild(force=True)
    for name in _HOLDERS:
        getattr(models, name).model_rebuild(force=True)
    return True
