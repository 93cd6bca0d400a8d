# SPDX-License-Identifier: Apache-2.0
"""Schemas of the built-in kinds: complete for metadata; elsewhere what merging, defaults and basic checks need.

Fields that are not listed are kept as they are (``x-kubernetes-preserve-unknown-fields``).
"""

from __future__ import annotations

from accelchain_operators.localkube.objects import JsonObject


def text(description: str = "", **more: object) -> JsonObject:
    """Return the schema of a string."""
    return {"type": "string", **({"description": description} if description else {}), **more}


def fields(properties: JsonObject | None = None, description: str = "", **more: object) -> JsonObject:
    """Return the schema of an object that keeps fields which are not listed."""
    schema: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **more}
    if properties:
        schema["properties"] = properties
    if description:
        schema["description"] = description
    return schema


def closed(properties: JsonObject, description: str = "", **more: object) -> JsonObject:
    """Return the schema of an object with these fields only."""
    return {"type": "object", "properties": properties, **({"description": description} if description else {}), **more}


def keyed(items: JsonObject, *keys: str, description: str = "") -> JsonObject:
    """Return the schema of a list of objects that are known by keys."""
    schema: JsonObject = {"type": "array", "items": {**items, "required": [k for k in keys if k != "protocol"]}}
    schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return {**schema, **({"description": description} if description else {})}


def listed(items: JsonObject, description: str = "", **more: object) -> JsonObject:
    """Return the schema of a list that is one value."""
    return {"type": "array", "items": items, **({"description": description} if description else {}), **more}


def strings(description: str = "") -> JsonObject:
    """Return the schema of a map of strings."""
    return {"type": "object", "additionalProperties": {"type": "string"}, "description": description}


BOOLEAN: JsonObject = {"type": "boolean"}
INTEGER: JsonObject = {"type": "integer", "format": "int64"}
ANYTHING: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}
TIME: JsonObject = {"type": "string", "format": "date-time", "nullable": True}

METADATA: JsonObject = closed(
    {
        "name": text("Unique within a namespace."),
        "generateName": text("A prefix that the server completes where `name` is empty."),
        "namespace": text("The space in which the name is unique."),
        "uid": text("Unique in time and space; set by the server."),
        "resourceVersion": text("Set by the server; opaque."),
        "generation": INTEGER,
        "selfLink": text(),
        "creationTimestamp": TIME,
        "deletionTimestamp": TIME,
        "deletionGracePeriodSeconds": INTEGER,
        "labels": strings("Map of keys and values to organise and select objects."),
        "annotations": strings("Map of keys and values for tools."),
        "finalizers": {
            **listed(text(), "Must be empty before the object is removed."),
            "x-kubernetes-list-type": "set",
        },
        "ownerReferences": keyed(
            closed(
                {
                    "apiVersion": text(),
                    "kind": text(),
                    "name": text(),
                    "uid": text(),
                    "controller": BOOLEAN,
                    "blockOwnerDeletion": BOOLEAN,
                },
                **{"x-kubernetes-map-type": "atomic"},
            ),
            "uid",
            description="Objects that this one depends on.",
        ),
        "managedFields": listed(fields(), "Who owns which field; set by the server."),
    },
    "Standard object's metadata.",
)

CONDITIONS = keyed(fields({"type": text(), "status": text()}), "type")
_RESOURCES = fields({"limits": fields(), "requests": fields()})
_MOUNTS = keyed(fields({"mountPath": text(), "name": text(), "readOnly": BOOLEAN, "subPath": text()}), "mountPath")
_ENV = keyed(fields({"name": text(), "value": text()}), "name")
_PORTS = keyed(
    fields({"containerPort": INTEGER, "protocol": text(default="TCP"), "name": text()}), "containerPort", "protocol"
)
_CONTAINER = fields(
    {
        "name": text("Name of the container."),
        "image": text("Image name."),
        "command": listed(text(), "Entrypoint."),
        "args": listed(text(), "Arguments of the entrypoint."),
        "workingDir": text(),
        "env": _ENV,
        "envFrom": listed(fields()),
        "ports": _PORTS,
        "volumeMounts": _MOUNTS,
        "resources": _RESOURCES,
        "terminationMessagePath": text(default="/dev/termination-log"),
        "terminationMessagePolicy": text(default="File"),
        "imagePullPolicy": text(),
    }
)
POD_SPEC = fields(
    {
        "containers": keyed(_CONTAINER, "name", description="Containers of the pod."),
        "initContainers": keyed(_CONTAINER, "name"),
        "volumes": keyed(fields({"name": text()}), "name", description="Volumes that containers may mount."),
        "imagePullSecrets": keyed(fields({"name": text()}), "name"),
        "nodeName": text("The node that the pod is bound to."),
        "nodeSelector": strings("Labels that the node must have."),
        "restartPolicy": text(default="Always", enum=["Always", "OnFailure", "Never"]),
        "terminationGracePeriodSeconds": {**INTEGER, "default": 30},
        "dnsPolicy": text(default="ClusterFirst"),
        "schedulerName": text(default="default-scheduler"),
        "securityContext": fields(default={}),
        "enableServiceLinks": {**BOOLEAN, "default": True},
        "tolerations": listed(fields()),
        "affinity": fields(),
        "hostAliases": keyed(fields({"ip": text()}), "ip"),
        "topologySpreadConstraints": listed(fields()),
    },
    "What the pod should be.",
)
POD_STATUS = fields({"conditions": CONDITIONS, "phase": text(), "podIPs": keyed(fields({"ip": text()}), "ip")})
POD = {"spec": POD_SPEC, "status": POD_STATUS}
NODE = {
    "spec": fields({"unschedulable": BOOLEAN, "taints": listed(fields())}),
    "status": fields({"conditions": CONDITIONS, "addresses": keyed(fields({"type": text()}), "type")}),
}
_BYTES = {"type": "object", "additionalProperties": {"type": "string", "nullable": True}}
CONFIG_MAP = {"data": strings("Text by key."), "binaryData": _BYTES, "immutable": BOOLEAN}
SECRET = {
    "data": _BYTES,
    "stringData": strings("Text by key; written, never read."),
    "type": text(),
    "immutable": BOOLEAN,
}
NAMESPACE = {
    "spec": fields({"finalizers": listed(text())}),
    "status": fields({"conditions": CONDITIONS, "phase": text()}),
}
SERVICE_ACCOUNT = {
    "secrets": keyed(fields({"name": text()}), "name"),
    "imagePullSecrets": keyed(fields({"name": text()}), "name"),
    "automountServiceAccountToken": BOOLEAN,
}
LEASE = {
    "spec": fields(
        {"leaseDurationSeconds": INTEGER, "leaseTransitions": INTEGER, "holderIdentity": text(nullable=True)}
    )
}
_REFERENCE = fields()
EVENT = {
    "involvedObject": _REFERENCE,
    "related": _REFERENCE,
    "source": fields(),
    "series": fields(nullable=True),
    "reason": text(),
    "message": text(),
    "type": text(),
    "action": text(),
    "count": INTEGER,
    "firstTimestamp": TIME,
    "lastTimestamp": TIME,
    "eventTime": TIME,
    "reportingComponent": text(),
    "reportingInstance": text(),
}
EVENT_V1 = {
    "regarding": _REFERENCE,
    "related": _REFERENCE,
    "series": fields(nullable=True),
    "reason": text(),
    "note": text(),
    "type": text(),
    "action": text(),
    "eventTime": TIME,
    "reportingController": text(),
    "reportingInstance": text(),
    "deprecatedSource": fields(),
    "deprecatedCount": INTEGER,
    "deprecatedFirstTimestamp": TIME,
    "deprecatedLastTimestamp": TIME,
}
OPEN = {"spec": ANYTHING, "status": ANYTHING}
TEMPLATED = {
    "spec": fields({"template": fields({"metadata": METADATA, "spec": POD_SPEC})}),
    "status": fields({"conditions": CONDITIONS}),
}
CRD = {"spec": fields({"names": fields(), "versions": listed(fields())}), "status": fields({"conditions": CONDITIONS})}


def whole(properties: JsonObject, description: str) -> JsonObject:
    """Return the schema of a whole object: its own fields with apiVersion, kind and metadata; unknown ones are kept."""
    top = {"apiVersion": text("Version of the schema."), "kind": text("Kind of the object."), "metadata": METADATA}
    return {"type": "object", "description": description, "properties": {**top, **properties}}
