# SPDX-License-Identifier: Apache-2.0
"""What Kubeflow Pipelines needs so that launchers may make DataFlows, as Kubernetes objects. Pure."""

from __future__ import annotations

from accelchain.kfp.install.objects import DEFAULT_ACCOUNT, DEFAULT_NAMESPACE, PROFILE_ACCOUNT, Wanted, objects
from accelchain.kfp.install.rights import LAUNCHER_RULES, VIEW_RULES, Rule

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_NAMESPACE",
    "LAUNCHER_RULES",
    "PROFILE_ACCOUNT",
    "VIEW_RULES",
    "Rule",
    "Wanted",
    "objects",
]
