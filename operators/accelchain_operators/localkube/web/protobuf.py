# SPDX-License-Identifier: Apache-2.0
"""Bodies in protobuf, for the kinds that kubectl's own commands and Helm write so (``kubectl create configmap``).

Answers are JSON: those clients accept both. The numbers are those of the ``generated.proto`` files of k8s.io/api.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from accelchain_operators.localkube.objects import JsonObject, micro_timestamp, timestamp

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_FLOAT_SIZES = {1: 8, 5: 4}

# A message: field number -> name and kind. Kinds: str, int, bool, bytes, time, microtime, map (of strings), bytesmap,
# or the name of another message; a star means a list.
_MESSAGES: dict[str, dict[int, str]] = {
    "ObjectMeta": {
        1: "name str", 2: "generateName str", 3: "namespace str", 5: "uid str", 6: "resourceVersion str",
        7: "generation int", 8: "creationTimestamp time", 9: "deletionTimestamp time",
        10: "deletionGracePeriodSeconds int", 11: "labels map", 12: "annotations map",
        13: "ownerReferences OwnerReference*", 14: "finalizers str*",
    },
    "OwnerReference": {1: "kind str", 3: "name str", 4: "uid str", 5: "apiVersion str", 6: "controller bool",
                       7: "blockOwnerDeletion bool"},
    "ObjectReference": {1: "kind str", 2: "namespace str", 3: "name str", 4: "uid str", 5: "apiVersion str",
                        6: "resourceVersion str", 7: "fieldPath str"},
    "LocalObjectReference": {1: "name str"},
    "ConfigMap": {1: "metadata ObjectMeta", 2: "data map", 3: "binaryData bytesmap", 4: "immutable bool"},
    "Secret": {1: "metadata ObjectMeta", 2: "data bytesmap", 3: "type str", 4: "stringData map", 5: "immutable bool"},
    "Namespace": {1: "metadata ObjectMeta"},
    "ServiceAccount": {1: "metadata ObjectMeta", 2: "secrets ObjectReference*",
                       3: "imagePullSecrets LocalObjectReference*", 4: "automountServiceAccountToken bool"},
    "PolicyRule": {1: "verbs str*", 2: "apiGroups str*", 3: "resources str*", 4: "resourceNames str*",
                   5: "nonResourceURLs str*"},
    "Role": {1: "metadata ObjectMeta", 2: "rules PolicyRule*"},
    "ClusterRole": {1: "metadata ObjectMeta", 2: "rules PolicyRule*"},
    "Subject": {1: "kind str", 2: "apiGroup str", 3: "name str", 4: "namespace str"},
    "RoleRef": {1: "apiGroup str", 2: "kind str", 3: "name str"},
    "RoleBinding": {1: "metadata ObjectMeta", 2: "subjects Subject*", 3: "roleRef RoleRef"},
    "ClusterRoleBinding": {1: "metadata ObjectMeta", 2: "subjects Subject*", 3: "roleRef RoleRef"},
    "PriorityClass": {1: "metadata ObjectMeta", 2: "value int", 3: "globalDefault bool", 4: "description str",
                      5: "preemptionPolicy str"},
    "EventSource": {1: "component str", 2: "host str"},
    "Event": {1: "metadata ObjectMeta", 2: "involvedObject ObjectReference", 3: "reason str", 4: "message str",
              5: "source EventSource", 6: "firstTimestamp time", 7: "lastTimestamp time", 8: "count int",
              9: "type str", 10: "eventTime microtime", 12: "action str", 13: "related ObjectReference",
              14: "reportingComponent str", 15: "reportingInstance str"},
    "LeaseSpec": {1: "holderIdentity str", 2: "leaseDurationSeconds int", 3: "acquireTime microtime",
                  4: "renewTime microtime", 5: "leaseTransitions int"},
    "Lease": {1: "metadata ObjectMeta", 2: "spec LeaseSpec"},
    "ResourceAttributes": {1: "namespace str", 2: "verb str", 3: "group str", 4: "version str", 5: "resource str",
                           6: "subresource str", 7: "name str"},
    "NonResourceAttributes": {1: "path str", 2: "verb str"},
    "AccessSpec": {1: "resourceAttributes ResourceAttributes", 2: "nonResourceAttributes NonResourceAttributes"},
    "SelfSubjectAccessReview": {1: "metadata ObjectMeta", 2: "spec AccessSpec"},
    "RulesSpec": {1: "namespace str"},
    "SelfSubjectRulesReview": {1: "metadata ObjectMeta", 2: "spec RulesSpec"},
    "SelfSubjectReview": {1: "metadata ObjectMeta"},
    "BoundObjectReference": {1: "kind str", 2: "apiVersion str", 3: "name str", 4: "uid str"},
    "TokenRequestSpec": {1: "audiences str*", 3: "boundObjectRef BoundObjectReference", 4: "expirationSeconds int"},
    "TokenRequest": {1: "metadata ObjectMeta", 2: "spec TokenRequestSpec"},
    "Preconditions": {1: "uid str", 2: "resourceVersion str"},
    "DeleteOptions": {1: "gracePeriodSeconds int", 2: "preconditions Preconditions", 3: "orphanDependents bool",
                      4: "propagationPolicy str", 5: "dryRun str*"},
}  # fmt: skip
_ENVELOPE = {1: "typeMeta TypeMeta", 2: "raw bytes"}
_TYPE_META = {1: "apiVersion str", 2: "kind str"}
_MESSAGES |= {"Envelope": _ENVELOPE, "TypeMeta": _TYPE_META}
_EVENTS_V1 = "events.k8s.io/v1"


class ProtobufError(ValueError):
    """The body is no protobuf object, or of a kind that is not read in protobuf."""


def decode(body: bytes) -> JsonObject:
    """Return the object in a body. Raises ProtobufError."""
    if not body.startswith(_MAGIC):
        raise ProtobufError("the body lacks the prefix of a Kubernetes protobuf object")
    envelope = _read(body[len(_MAGIC) :], "Envelope", keep_bytes=True)
    about = envelope.get("typeMeta", {})
    kind, version = about.get("kind", ""), about.get("apiVersion", "")
    if kind not in _MESSAGES or version == _EVENTS_V1:
        raise ProtobufError(f"{version} {kind} is not read in protobuf, only in JSON")
    return {"apiVersion": version, "kind": kind, **_read(envelope.get("raw", b""), kind)}


def _read(data: bytes, message: str, *, keep_bytes: bool = False) -> JsonObject:
    fields = _MESSAGES[message]
    found: JsonObject = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        name, kind = fields[number].split()
        if kind in ("map", "bytesmap"):
            key, item = _entry(value)
            found.setdefault(name, {})[key] = item.decode() if kind == "map" else base64.b64encode(item).decode()
        elif kind.endswith("*"):
            found.setdefault(name, []).append(_value(value, kind[:-1], keep_bytes=keep_bytes))
        else:
            item = _value(value, kind, keep_bytes=keep_bytes)
            if item not in ("", None):
                found[name] = item
    return found


def _value(value: Any, kind: str, *, keep_bytes: bool) -> Any:
    if kind in ("int", "bool"):
        if not isinstance(value, int):
            raise ProtobufError("a number was expected")
        return bool(value) if kind == "bool" else value - (1 << 64) if value >> 63 else value
    if not isinstance(value, bytes):
        raise ProtobufError("a string or message was expected")
    if kind == "str":
        return value.decode()
    if kind == "bytes":
        return value if keep_bytes else base64.b64encode(value).decode()
    if kind in ("time", "microtime"):
        parts = dict(_fields(value))
        if not parts.get(1):
            return None
        at = datetime.fromtimestamp(parts[1] + parts.get(2, 0) / 1e9, UTC)
        return timestamp(at) if kind == "time" else micro_timestamp(at)
    return _read(value, kind)


def _entry(data: Any) -> tuple[str, bytes]:
    parts = dict(_fields(data))
    return parts.get(1, b"").decode(), parts.get(2, b"")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, number or bytes)."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in _FLOAT_SIZES:
            size = _FLOAT_SIZES[wire]
        else:
            raise ProtobufError(f"unknown wire type {wire}")
        if at + size > len(data):
            raise ProtobufError("the body ends in the middle of a field")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("a number is cut off")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
