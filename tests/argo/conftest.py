# SPDX-License-Identifier: Apache-2.0
"""What the fronts of Argo have in common: the kinds of its that an embedded API needs."""

from __future__ import annotations

import pytest

from accelchain_operators.kube.client import JsonObject


def crd(kind: str, plural: str) -> JsonObject:
    """Argo's CRD as its ``minimal`` manifests have it: any field, status as a subresource only where Argo has one."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version: JsonObject = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
    }
    if kind == "WorkflowTaskSet":
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [version],
        },
    }


@pytest.fixture
def argo_crds() -> tuple[JsonObject, ...]:
    """Argo's kinds, made anew for each test: an API keeps what it is given."""
    return crd("Workflow", "workflows"), crd("WorkflowTaskSet", "workflowtasksets")
