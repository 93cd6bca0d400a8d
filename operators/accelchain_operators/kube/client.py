# SPDX-License-Identifier: Apache-2.0
"""The one way to the Kubernetes API: plain dicts, asynchronous, behind a protocol so that tests can do without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind as URLs name it."""

    api_version: str
    """``v1``, ``accelchain.io/v1alpha1``."""
    kind: str
    plural: str
    namespaced: bool = True


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch. A BOOKMARK's object holds no more than its resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: JsonObject


class ApiError(Exception):
    """The API answered with an error Status."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later: no answer (code 0), too many requests, a server in trouble."""
        return self.code in (0, 429) or self.code >= 500


class KubeClient(Protocol):
    """The Kubernetes API. Every call raises ``ApiError`` (409, 410, 422 …); 429 and 5xx are retried before that."""

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        """Return an object."""

    async def list(
        self, type: ResourceType, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[JsonObject], str]:
        """Return all objects (of all namespaces where None) and the list's resourceVersion. Pages inside."""

    def watch(
        self,
        type: ResourceType,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events after ``resource_version`` until the server ends the stream; ApiError 410: list again."""

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        """Create an object (namespace from its metadata)."""

    async def apply(self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True) -> JsonObject:
        """Server-side apply."""

    async def apply_status(
        self, type: ResourceType, obj: JsonObject, *, field_manager: str, force: bool = True
    ) -> JsonObject:
        """Server-side apply of the status subresource."""

    async def patch(
        self, type: ResourceType, name: str, namespace: str | None, patch: Any, *, subresource: str = ""
    ) -> JsonObject:
        """Merge-patch (a dict) or JSON-patch (a list)."""

    async def delete(
        self,
        type: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        """Delete an object; with ``uid`` only if it is still that one (409 otherwise)."""

    def logs(
        self, name: str, namespace: str, *, container: str = "", follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[str]:
        """Yield a pod's log lines without line ends."""

    async def close(self) -> None:
        """Give connections back."""
