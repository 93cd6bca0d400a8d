# SPDX-License-Identifier: Apache-2.0
"""A record of requests: what was asked of the API, by whom. Counts are exact; the list of requests is bounded."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request that was answered."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user_agent: str
    manager: str
    """The field manager, or the first part of the user agent."""
    code: int
    user: str = ""
    """Who asked: ``system:serviceaccount:NAMESPACE:NAME`` …; empty where nobody was let in."""

    @property
    def is_write(self) -> bool:
        """Whether it asked for a change."""
        return self.verb in WRITES


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """What a Role must allow for a kind of request."""

    group: str
    resource: str
    verb: str


class Recorder:
    """Keeps the last ``limit`` requests, and counts by right and manager since the last ``clear``."""

    def __init__(self, limit: int = 2000) -> None:
        self.requests: deque[Recorded] = deque(maxlen=limit)
        self._counts: Counter[tuple[Right, str, str]] = Counter()

    def add(self, request: Recorded) -> None:
        """Record a request."""
        self.requests.append(request)
        resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
        self._counts[Right(request.group, resource, request.verb), request.manager, request.user] += 1

    def clear(self) -> None:
        """Forget everything."""
        self.requests.clear()
        self._counts.clear()

    def rights(self, manager: str = "", *, user: str = "") -> dict[Right, int]:
        """Return what was asked for and how often (by one field manager, by one user, if given)."""
        found: Counter[Right] = Counter()
        for (right, by, who), count in self._counts.items():
            if manager in ("", by) and user in ("", who):
                found[right] += count
        return dict(sorted(found.items()))

    def writes(self, *, without: Iterable[str] = ()) -> int:
        """Return the number of writes, those to some resources (``events``) left out."""
        skipped = set(without)
        return sum(
            count
            for (right, *_), count in self._counts.items()
            if right.verb in WRITES and right.resource.split("/")[0] not in skipped
        )
