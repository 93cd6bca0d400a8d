# SPDX-License-Identifier: Apache-2.0
"""What is read of a Workflow object."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accelchain.argo.core.deadline import seconds_of
from accelchain.argo.core.identity import WorkflowId

JsonObject = dict[str, Any]
MAX_NODES_BYTES = 256 << 20
"""A Workflow that unpacks to more than this is no Workflow."""
_GZIP = 31
"""``wbits`` of zlib for a gzip header."""
_EXIT_NAME = re.compile(r"\.onExit(?=$|[.\[(])")
_DAY_PARTS = {"Y": slice(0, 4), "m": slice(5, 7), "d": slice(8, 10), "H": slice(11, 13), "M": slice(14, 16)}


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A Workflow as it is now."""

    id: WorkflowId
    phase: str
    shutdown: str
    """``spec.shutdown``: empty, Stop or Terminate."""
    service_account: str
    deadline: float | None
    """When ``activeDeadlineSeconds`` ends it (seconds since 1970); handlers on exit are exempt."""
    nodes: Mapping[str, JsonObject] | None
    """``status.nodes`` by id; None: they are kept elsewhere (offloaded)."""
    repository: JsonObject | None
    """The artifact repository that it uses: ``{s3: {bucket, …}}``."""
    parallelism: int | None
    """``spec.parallelism``."""
    started: float | None = None
    """``status.startedAt``; ``argo retry`` sets it anew."""
    templates: Mapping[str, JsonObject] = field(default_factory=dict)
    """Its own by name, and stored ones as ``namespaced/TEMPLATE/NAME``."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Argo's template variables that hold for the whole Workflow: ``workflow.name`` …"""

    @property
    def has_ended(self) -> bool:
        """It has a final phase."""
        return self.phase in ("Succeeded", "Failed", "Error")

    def node(self, node_id: str) -> JsonObject | None:
        """Return a node's status, where it is known."""
        return None if self.nodes is None else self.nodes.get(node_id)

    def template_of(self, node: JsonObject) -> JsonObject | None:
        """Return the template that a node runs, where it is stored in the Workflow."""
        reference = node.get("templateRef") or {}
        if reference:
            scope = "cluster" if reference.get("clusterScope") else "namespaced"
            return self.templates.get(f"{scope}/{reference.get('name')}/{reference.get('template')}")
        name = node.get("templateName") or ""
        scope = node.get("templateScope") or ""
        stored = None if scope.startswith("local/") else self.templates.get(f"{scope}/{name}")
        return stored or self.templates.get(name)

    def is_on_exit(self, node_id: str, node_name: str) -> bool:
        """Tell whether a node belongs to a handler on exit, which outlives a stop and has no deadline."""
        node = self.node(node_id)
        if node is None or self.nodes is None:
            return _EXIT_NAME.search(node_name) is not None
        for _ in range(len(self.nodes)):
            if str(node.get("displayName") or "").endswith(".onExit"):
                return True
            node = self.nodes.get(node.get("boundaryID") or "")
            if node is None:
                return False
        return False


def view(workflow: JsonObject) -> WorkflowView:
    """Read a Workflow object.

    Raises:
        ValueError: its compressed nodes, or a time, can't be read.
    """
    meta, spec, status = workflow["metadata"], workflow.get("spec") or {}, workflow.get("status") or {}
    # With a workflowTemplateRef this is the template's spec, merged with the Workflow's own.
    run = status.get("storedWorkflowTemplateSpec") or spec
    started = seconds_of(status["startedAt"]) if status.get("startedAt") else None
    limit = run.get("activeDeadlineSeconds")
    templates = {t["name"]: t for t in run.get("templates") or () if t.get("name")}
    return WorkflowView(
        id=WorkflowId(meta["namespace"], meta["name"], meta["uid"]),
        phase=status.get("phase") or "",
        shutdown=spec.get("shutdown") or run.get("shutdown") or "",
        service_account=run.get("serviceAccountName") or "default",
        deadline=None if started is None or limit is None else float(int(started)) + float(limit),
        nodes=nodes_of(status),
        repository=(status.get("artifactRepositoryRef") or {}).get("artifactRepository"),
        parallelism=run.get("parallelism"),
        started=started,
        templates=templates | (status.get("storedTemplates") or {}),
        variables=_variables(meta, run),
    )


def nodes_of(status: JsonObject) -> Mapping[str, JsonObject] | None:
    """Return the nodes of a Workflow's status, unpacked; None: they are kept in Argo's database.

    Raises:
        ValueError: they can't be unpacked.
    """
    if status.get("offloadNodeStatusVersion"):
        return None
    packed = status.get("compressedNodes")
    if not packed:
        return status.get("nodes") or {}
    try:
        unpacker = zlib.decompressobj(_GZIP)
        text = unpacker.decompress(base64.b64decode(packed, validate=True), MAX_NODES_BYTES)
        nodes = json.loads(text) if unpacker.eof else None
    except (zlib.error, binascii.Error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"status.compressedNodes can't be read: {error}") from error
    if not isinstance(nodes, dict):
        raise ValueError("status.compressedNodes can't be read: it is cut off, too large, or no object")
    return nodes


def is_fulfilled(phase: str) -> bool:
    """Tell whether a node of that phase has ended."""
    return phase in ("Succeeded", "Failed", "Error", "Skipped", "Omitted")


def _variables(meta: JsonObject, run: JsonObject) -> dict[str, str]:
    """Return what a repository's ``keyFormat`` may name."""
    found = {f"workflow.{key}": str(meta[key]) for key in ("name", "namespace", "uid")}
    found["workflow.serviceAccountName"] = run.get("serviceAccountName") or "default"
    created = meta.get("creationTimestamp") or ""
    if created:
        found["workflow.creationTimestamp"] = created
        found |= {f"workflow.creationTimestamp.{key}": created[part] for key, part in _DAY_PARTS.items()}
    for kind in ("labels", "annotations"):
        found |= {f"workflow.{kind}.{key}": str(value) for key, value in (meta.get(kind) or {}).items()}
    for parameter in (run.get("arguments") or {}).get("parameters") or ():
        if parameter.get("value") is not None:
            found[f"workflow.parameters.{parameter['name']}"] = str(parameter["value"])
    return found
