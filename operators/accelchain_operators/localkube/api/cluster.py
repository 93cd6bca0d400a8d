# SPDX-License-Identifier: Apache-2.0
"""The state of the server: the store, the kinds that are served, and reading."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from accelchain_operators.localkube.errors import bad_request, expired, not_found
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.resources.builtin import builtin_endpoints
from accelchain_operators.localkube.resources.endpoint import Endpoint, Registry
from accelchain_operators.localkube.selectors import Predicate
from accelchain_operators.localkube.store.store import Key, RevisionGoneError, Store

Defer = Callable[[Callable[[], object]], object]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: stored objects and the list's metadata."""

    objects: list[JsonObject]
    meta: JsonObject


class Cluster:
    """Store and registry.

    Args:
        first_revision: the store's first revision; later than that of any earlier server on this machine, so that a
            client which still has a revision of that one is told to list again.
        window: changes of each kind that are kept to watch from.
        event_limit: Events that are kept.
        event_seconds: how long Events are kept.
        defer: runs a function soon, but after the current step.
    """

    def __init__(
        self,
        *,
        first_revision: int,
        window: int = 1000,
        event_limit: int = 1000,
        event_seconds: float = 3600.0,
        defer: Defer = lambda function: function(),
    ) -> None:
        self.store = Store(first_revision=first_revision, window=window)
        self.registry = Registry()
        self.event_limit = event_limit
        self.event_seconds = event_seconds
        self.defer = defer
        for endpoint in builtin_endpoints():
            self.registry.add(endpoint)

    def get(self, endpoint: Endpoint, namespace: str, name: str) -> JsonObject:
        """Return a stored object. Raises StatusError 404."""
        obj = self.store.get(Key(endpoint.storage, namespace, name))
        if obj is None:
            raise not_found(endpoint.group, endpoint.plural, name)
        return obj

    def has(self, endpoint: Endpoint, namespace: str, name: str) -> bool:
        """Tell whether an object is stored."""
        return self.store.get(Key(endpoint.storage, namespace, name)) is not None

    def list(
        self,
        endpoint: Endpoint,
        namespace: str,
        matches: Predicate | None,
        *,
        limit: int = 0,
        token: str = "",
        exact_revision: int | None = None,
    ) -> Page:
        """Return a page of stored objects, by namespace and name.

        The pages of one list carry the revision of the first page, but show objects as they are now: a watch from that
        revision tells what has changed in between. Raises StatusError 400 for a bad token, 410 for one that is too old.
        """
        revision, after = (self.store.revision, None) if not token else _read_token(token)
        try:
            self.store.changes_since(endpoint.storage, revision)
        except RevisionGoneError:
            raise expired("The provided continue parameter is too old to display a consistent list result.") from None
        if exact_revision is not None and exact_revision != self.store.revision:
            raise expired(f"The resourceVersion for the provided list is too old: {exact_revision}")
        found = self.store.items(endpoint.storage, namespace)
        if after is not None:
            found = [obj for obj in found if _position(obj) > after]
        if matches is not None:
            shown = endpoint.show
            found = [obj for obj in found if matches(shown(obj))]
        meta: JsonObject = {"resourceVersion": str(revision)}
        if limit and len(found) > limit:
            if matches is None:
                meta["remainingItemCount"] = len(found) - limit
            found = found[:limit]
            meta["continue"] = _write_token(revision, _position(found[-1]))
        return Page(found, meta)


def _position(obj: JsonObject) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _write_token(revision: int, position: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([revision, *position]).encode()).decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        return int(revision), (str(namespace), str(name))
    except (ValueError, TypeError):
        raise bad_request("continue key is not valid") from None
