# SPDX-License-Identifier: Apache-2.0
"""What Argo needs in a namespace for our steps, as Kubernetes objects. Pure."""

from __future__ import annotations

from accelchain.argo.install.objects import (
    DEFAULT_CONTROLLER,
    DEFAULT_IMAGE,
    PLUGIN_CONFIG,
    PLUGIN_TOKEN,
    WORKFLOW_ROLE,
    Wanted,
    objects,
    token_secret,
)
from accelchain.argo.install.rights import CONTROLLER_RULES, PLUGIN_RULES, WORKFLOW_RULES, Rule

__all__ = [
    "CONTROLLER_RULES",
    "DEFAULT_CONTROLLER",
    "DEFAULT_IMAGE",
    "PLUGIN_CONFIG",
    "PLUGIN_RULES",
    "PLUGIN_TOKEN",
    "WORKFLOW_ROLE",
    "WORKFLOW_RULES",
    "Rule",
    "Wanted",
    "objects",
    "token_secret",
]
