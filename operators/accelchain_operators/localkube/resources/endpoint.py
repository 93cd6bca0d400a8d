# SPDX-License-Identifier: Apache-2.0
"""One kind as it is served in one version, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.strategy import Strategy
from accelchain_operators.localkube.schema.structural import Schema

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of a table."""

    name: str
    json_path: str = ""
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    cell: Callable[[JsonObject], object] | None = None
    """Computes what no path can tell; ``json_path`` is then empty."""


@dataclass(slots=True)
class Endpoint:
    """A kind in one version."""

    group: str
    version: str
    plural: str
    kind: str
    schema: Schema
    namespaced: bool = True
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    tracks_generation: bool = False
    columns: tuple[Column, ...] = ()
    fields: frozenset[str] = frozenset()
    """Paths that field selectors may name, besides metadata.name and metadata.namespace."""
    subresources: tuple[str, ...] = ()
    """Besides ``status``."""
    verbs: tuple[str, ...] = VERBS
    storage: str = ""
    """``group/plural`` of the store: versions, and both views of Events, share one."""
    strategy: Strategy = field(default_factory=Strategy)
    encode: Callable[[JsonObject], JsonObject] | None = None
    """From the stored form to this version."""
    decode: Callable[[JsonObject], JsonObject] | None = None
    """From this version to the stored form."""
    custom: bool = False
    """From a CustomResourceDefinition: a PUT must name the revision that it replaces."""
    warning: str = ""
    """Deprecation, sent as a Warning header."""
    raw_schema: JsonObject = field(default_factory=dict)
    """For OpenAPI."""

    def __post_init__(self) -> None:
        """Fill in what follows from the rest."""
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or f"{self.kind}List"
        self.storage = self.storage or f"{self.group}/{self.plural}"
        self.fields |= {"metadata.name"} | ({"metadata.namespace"} if self.namespaced else set())

    @property
    def api_version(self) -> str:
        """Return ``group/version``, or ``version`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def show(self, obj: JsonObject) -> JsonObject:
        """Return a stored object in this version."""
        return self.encode(obj) if self.encode else obj

    def read(self, obj: JsonObject) -> JsonObject:
        """Return an object of this version as it is stored."""
        return self.decode(obj) if self.decode else obj


class Registry:
    """Endpoints by group, version and plural."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self.generation = 0
        """Goes up at every change: discovery documents are cached by it."""

    def add(self, endpoint: Endpoint) -> None:
        """Serve an endpoint, in place of the one at the same address."""
        self._endpoints[endpoint.group, endpoint.version, endpoint.plural] = endpoint
        self.generation += 1

    def discard(self, group: str, plural: str) -> None:
        """Stop serving a kind, in all versions."""
        for key in [key for key in self._endpoints if (key[0], key[2]) == (group, plural)]:
            del self._endpoints[key]
            self.generation += 1

    def find(self, group: str, version: str, plural: str) -> Endpoint | None:
        """Return the endpoint at an address."""
        return self._endpoints.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Endpoint | None:
        """Return the endpoint of ``apiVersion`` and ``kind``."""
        return next((e for e in self._endpoints.values() if e.kind == kind and e.api_version == api_version), None)

    def of_storage(self, storage: str) -> Endpoint | None:
        """Return the first endpoint of a stored kind."""
        return next((e for e in self._endpoints.values() if e.storage == storage), None)

    def __iter__(self) -> Iterator[Endpoint]:
        """Yield all endpoints in the order in which they were added."""
        return iter(list(self._endpoints.values()))

    def groups(self) -> dict[str, list[str]]:
        """Return the versions of every group, the preferred one first."""
        found: dict[str, list[str]] = {}
        for endpoint in self._endpoints.values():
            versions = found.setdefault(endpoint.group, [])
            if endpoint.version not in versions:
                versions.append(endpoint.version)
        for versions in found.values():
            versions.sort(key=_priority)
        return found


def _priority(version: str) -> tuple[int, int, int, str]:
    """Sort key: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else."""
    body = version.removeprefix("v")
    for rank, stage in enumerate(("beta", "alpha"), start=1):
        major, found, minor = body.partition(stage)
        if found and major.isdigit() and (minor or "0").isdigit():
            return rank, -int(major), -int(minor or 0), version
    return (0, -int(body), 0, version) if body.isdigit() else (3, 0, 0, version)
