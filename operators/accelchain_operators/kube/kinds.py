# SPDX-License-Identifier: Apache-2.0
"""The kinds that the operators watch or write, as URLs name them."""

from __future__ import annotations

from accelchain.api import KINDS
from accelchain.api.common import API_VERSION
from accelchain_operators.kube.client import ResourceType

_OURS = {model.kind_name: ResourceType(API_VERSION, model.kind_name, model.plural, model.namespaced) for model in KINDS}

DATA_FLOW = _OURS["DataFlow"]
FUNCTION_CHAIN = _OURS["FunctionChain"]
FUNCTION_TYPE = _OURS["FunctionType"]
CONNECTION_TYPE = _OURS["ConnectionType"]
SCHEDULING_STRATEGY = _OURS["SchedulingStrategy"]
COMPUTE_RESOURCE = _OURS["ComputeResource"]
WB_FUNCTION = _OURS["WBFunction"]
WB_CONNECTION = _OURS["WBConnection"]
POD = ResourceType("v1", "Pod", "pods")
CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps")
SECRET = ResourceType("v1", "Secret", "secrets")
EVENT = ResourceType("events.k8s.io/v1", "Event", "events")
LEASE = ResourceType("coordination.k8s.io/v1", "Lease", "leases")
NODE = ResourceType("v1", "Node", "nodes", namespaced=False)
WORKFLOW = ResourceType("argoproj.io/v1alpha1", "Workflow", "workflows")
TASK_SET = ResourceType("argoproj.io/v1alpha1", "WorkflowTaskSet", "workflowtasksets")

MANAGED_BY = "app.kubernetes.io/managed-by=accelchain-operator"
"""Selects our own Pods and ConfigMaps among everybody's."""

WATCHED: dict[ResourceType, str] = {
    **dict.fromkeys(_OURS.values(), ""),
    POD: MANAGED_BY,
    CONFIG_MAP: MANAGED_BY,
}
"""Every watched kind with its label selector. Secrets are not among them: the operators may not list Secrets."""

BY_KIND: dict[tuple[str, str], ResourceType] = {
    (type.api_version, type.kind): type for type in (*WATCHED, SECRET, EVENT)
}
