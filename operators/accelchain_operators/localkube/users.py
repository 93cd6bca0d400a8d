# SPDX-License-Identifier: Apache-2.0
"""Who may ask: bearer tokens and the users behind them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """An identity, as authorization and records see it."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def is_master(self) -> bool:
        """Whether everything is allowed without a Role."""
        return MASTERS in self.groups


ADMIN = User("localkube:admin", (MASTERS, AUTHENTICATED))


def service_account(namespace: str, name: str) -> User:
    """Return the user that a ServiceAccount's token stands for."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


class Users:
    """Tokens and whose they are. Tokens are kept as digests: looking one up takes no time that depends on another."""

    def __init__(self, admin_token: str) -> None:
        self._users: dict[bytes, User] = {}
        self.add(ADMIN, admin_token)

    def add(self, user: User, token: str = "") -> str:
        """Let a user in by a token (a new random one if empty), and return it."""
        token = token or secrets.token_urlsafe(32)
        self._users[_digest(token)] = user
        return token

    def remove(self, token: str) -> None:
        """Let nobody in by this token any more: it has expired."""
        self._users.pop(_digest(token), None)

    def find(self, token: str) -> User | None:
        """Return whose token this is."""
        return self._users.get(_digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
