# SPDX-License-Identifier: Apache-2.0
"""The built-in kinds. Those with a behaviour come first; the rest is stored, and nobody acts on it."""

from __future__ import annotations

from typing import Any

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources import builtin_schemas as schemas
from accelchain_operators.localkube.resources import strategies
from accelchain_operators.localkube.resources.crd import CrdStrategy
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.resources.events import EVENT_FIELDS, EVENT_V1_FIELDS, from_v1, to_v1
from accelchain_operators.localkube.resources.strategy import PathNamed
from accelchain_operators.localkube.schema.structural import compile_schema
from accelchain_operators.localkube.table import columns

CRD_STORAGE = "apiextensions.k8s.io/customresourcedefinitions"
NAMESPACES = "/namespaces"
PODS = "/pods"
EVENTS = "/events"

_POD_FIELDS = frozenset(
    [
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ]
)
_RULES: JsonObject = {"rules": schemas.listed(schemas.fields()), "aggregationRule": schemas.fields()}
_BINDING: JsonObject = {"subjects": schemas.listed(schemas.fields()), "roleRef": schemas.fields()}
_STORED: tuple[tuple[str, str, str, str, str, bool], ...] = (
    # group, version, plural, kind, short name, namespaced
    ("", "v1", "services", "Service", "svc", True),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", True),
    ("", "v1", "resourcequotas", "ResourceQuota", "quota", True),
    ("", "v1", "limitranges", "LimitRange", "limits", True),
    ("apps", "v1", "deployments", "Deployment", "deploy", True),
    ("apps", "v1", "daemonsets", "DaemonSet", "ds", True),
    ("apps", "v1", "statefulsets", "StatefulSet", "sts", True),
    ("batch", "v1", "jobs", "Job", "", True),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol", True),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", True),
)


def _endpoint(group: str, version: str, plural: str, kind: str, shape: JsonObject, about: str, **more: Any) -> Endpoint:
    raw = schemas.whole(shape, about)
    return Endpoint(group, version, plural, kind, compile_schema(raw), raw_schema=raw, **more)


def builtin_endpoints() -> list[Endpoint]:
    """Return the built-in endpoints, in the order in which discovery lists them."""
    s = schemas
    cluster: JsonObject = {"namespaced": False}
    found = [
        _endpoint("", "v1", "namespaces", "Namespace", s.NAMESPACE, "A scope for names.", **cluster,
                  short_names=("ns",), has_status=True, subresources=("finalize",),
                  columns=columns.NAMESPACE, fields=frozenset({"status.phase"}),
                  strategy=strategies.NamespaceStrategy()),
        _endpoint("", "v1", "nodes", "Node", s.NODE, "A machine that pods run on.", **cluster, short_names=("no",),
                  has_status=True, columns=columns.NODE, fields=frozenset({"spec.unschedulable"}),
                  strategy=strategies.NodeStrategy()),
        _endpoint("", "v1", "pods", "Pod", s.POD, "Containers that run on one node.", short_names=("po",),
                  categories=("all",), has_status=True, tracks_generation=True, columns=columns.POD,
                  fields=_POD_FIELDS, subresources=("log", "binding", "eviction", "portforward"),
                  strategy=strategies.PodStrategy()),
        _endpoint("", "v1", "configmaps", "ConfigMap", s.CONFIG_MAP, "Configuration data for pods.",
                  short_names=("cm",), columns=columns.CONFIG_MAP, strategy=strategies.ConfigMapStrategy()),
        _endpoint("", "v1", "secrets", "Secret", s.SECRET, "Secret data for pods.", columns=columns.SECRET,
                  fields=frozenset({"type"}), strategy=strategies.SecretStrategy()),
        _endpoint("", "v1", "serviceaccounts", "ServiceAccount", s.SERVICE_ACCOUNT, "An identity for processes.",
                  short_names=("sa",), columns=columns.SERVICE_ACCOUNT, subresources=("token",)),
        _endpoint("", "v1", "events", "Event", s.EVENT, "A report of something that happened.", short_names=("ev",),
                  columns=columns.EVENT, fields=EVENT_FIELDS),
        _endpoint("events.k8s.io", "v1", "events", "Event", s.EVENT_V1, "A report of something that happened.",
                  short_names=("ev",), columns=columns.EVENT, fields=EVENT_V1_FIELDS, storage=EVENTS,
                  encode=to_v1, decode=from_v1),
        _endpoint("coordination.k8s.io", "v1", "leases", "Lease", s.LEASE, "A lock with a holder and an age.",
                  columns=columns.LEASE),
        _endpoint("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", s.CRD,
                  "A kind that the API shall serve.", **cluster, short_names=("crd", "crds"), has_status=True,
                  tracks_generation=True, columns=columns.CRD, strategy=CrdStrategy()),
    ]  # fmt: skip
    for group, version, plural, kind, short, namespaced in _STORED:
        shape = s.TEMPLATED if group in ("apps", "batch") else s.OPEN
        found.append(
            _endpoint(group, version, plural, kind, shape, f"Stored only: nothing acts on a {kind} here.",
                      namespaced=namespaced, short_names=(short,) if short else (), has_status=True,
                      tracks_generation=group != "")
        )  # fmt: skip
    for plural, kind, shape, namespaced in (
        ("roles", "Role", _RULES, True),
        ("rolebindings", "RoleBinding", _BINDING, True),
        ("clusterroles", "ClusterRole", _RULES, False),
        ("clusterrolebindings", "ClusterRoleBinding", _BINDING, False),
    ):
        about = "What users, groups and service accounts may do."
        found.append(
            _endpoint("rbac.authorization.k8s.io", "v1", plural, kind, shape, about, namespaced=namespaced,
                      strategy=PathNamed())
        )  # fmt: skip
    priority: JsonObject = {"value": s.INTEGER, "globalDefault": s.BOOLEAN, "description": s.text(),
                            "preemptionPolicy": s.text()}  # fmt: skip
    about = "Stored only: nothing acts on a PriorityClass here."
    found.append(
        _endpoint("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", priority, about, **cluster,
                  short_names=("pc",))
    )  # fmt: skip
    return found
