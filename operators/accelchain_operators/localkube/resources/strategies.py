# SPDX-License-Identifier: Apache-2.0
"""Strategies of the built-in kinds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from accelchain_operators.localkube.errors import Cause, forbidden_field, invalid_value, required_field
from accelchain_operators.localkube.objects import JsonObject, lookup, same, timestamp
from accelchain_operators.localkube.resources.strategy import LabelNamed, Strategy

_IMMUTABLE = "field is immutable when `immutable` is set"


class NamespaceStrategy(LabelNamed):
    """A namespace carries its own name as a label, and lives until it is empty."""

    def prepare_create(self, obj: JsonObject) -> None:
        """Set the label, the finalizer and the phase."""
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, obj: JsonObject, old: JsonObject, subresource: str) -> None:
        """Keep the finalizers: only the end of the namespace removes them."""
        if subresource != "finalize" and "spec" in old:
            obj["spec"] = old["spec"]


class PodStrategy(Strategy):
    """A pod begins Pending; a pod on a node ends when its kubelet says so."""

    def prepare_create(self, obj: JsonObject) -> None:
        """Set the phase and the class of service."""
        phase: JsonObject = {"phase": "Pending"}
        if not any(c.get("resources") for c in lookup(obj, "spec", "containers") or [] if isinstance(c, dict)):
            phase["qosClass"] = "BestEffort"
        if lookup(obj, "spec", "nodeName"):
            phase["conditions"] = [_scheduled()]
        obj["status"] = phase

    def prepare_update(self, obj: JsonObject, old: JsonObject, subresource: str) -> None:
        """Note when the pod gets its node."""
        node = lookup(obj, "spec", "nodeName")
        if node and not lookup(old, "spec", "nodeName") and subresource == "binding":
            bind(obj, node)

    def check(self, obj: JsonObject, old: JsonObject | None) -> Iterable[Cause]:
        """A pod has containers with unique names and images; its node doesn't change."""
        containers = lookup(obj, "spec", "containers")
        if not containers:
            yield required_field("spec.containers")
        for index, container in enumerate(containers or ()):
            for name in ("name", "image"):
                if not container.get(name):
                    yield required_field(f"spec.containers[{index}].{name}")
        bound = {"type": "PodScheduled", "status": "True"}.items()
        scheduled = any(bound <= c.items() for c in lookup(obj, "status", "conditions") or [] if isinstance(c, dict))
        before, after = lookup(old, "spec", "nodeName"), lookup(obj, "spec", "nodeName")
        if old is not None and before != after and (before or not scheduled):  # a Binding says that it is scheduled
            yield forbidden_field("spec", "pod updates may not change fields other than `spec.containers[*].image`")

    def grace_seconds(self, obj: JsonObject, asked: int | None) -> int:
        """Return the pod's own grace unless asked for another; none without a kubelet or after its end."""
        if not lookup(obj, "spec", "nodeName") or lookup(obj, "status", "phase") in ("Succeeded", "Failed"):
            return 0
        own = lookup(obj, "spec", "terminationGracePeriodSeconds", default=30)
        return max(0, own if asked is None else asked)


def bind(pod: JsonObject, node: str) -> None:
    """Put a pod onto a node, as the scheduler's Binding does."""
    pod["spec"] = {**pod["spec"], "nodeName": node}
    status = dict(pod.get("status") or {})
    others = [c for c in status.get("conditions") or [] if c.get("type") != "PodScheduled"]
    pod["status"] = {**status, "conditions": [*others, _scheduled()]}


def _scheduled() -> JsonObject:
    return {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()}


class NodeStrategy(Strategy):
    """A kubelet registers its node with its status."""

    keeps_status = True


class ConfigMapStrategy(Strategy):
    """A map whose ``immutable`` can't be undone."""

    data_fields: tuple[str, ...] = ("data", "binaryData")

    def check(self, obj: JsonObject, old: JsonObject | None) -> Iterable[Cause]:
        """Hold the data of an immutable object, and ``immutable`` itself."""
        if old is None or not old.get("immutable"):
            return
        if not obj.get("immutable"):
            yield forbidden_field("immutable", _IMMUTABLE)
        for name in self.data_fields:
            if not same(obj.get(name) or {}, old.get(name) or {}):
                yield forbidden_field(name, _IMMUTABLE)


class SecretStrategy(ConfigMapStrategy):
    """A map of base64 values; ``stringData`` is written plain and never read back."""

    data_fields = ("data",)

    def prepare_create(self, obj: JsonObject) -> None:
        """Encode ``stringData`` and set the type."""
        self._encode(obj)
        obj.setdefault("type", "Opaque")

    def prepare_update(self, obj: JsonObject, old: JsonObject, subresource: str) -> None:
        """Encode ``stringData``; an empty type means the old one."""
        self._encode(obj)
        obj.setdefault("type", old.get("type", "Opaque"))

    def check(self, obj: JsonObject, old: JsonObject | None) -> Iterable[Cause]:
        """The type can't change, and values are base64."""
        yield from super().check(obj, old)
        if old is not None and obj.get("type") != old.get("type"):
            yield invalid_value("type", obj.get("type"), "field is immutable")
        for key, value in (obj.get("data") or {}).items():
            try:
                base64.b64decode(value or "", validate=True)
            except (binascii.Error, ValueError):
                yield invalid_value(f"data[{key}]", "<omitted>", "must be base64")

    def _encode(self, obj: JsonObject) -> None:
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}
