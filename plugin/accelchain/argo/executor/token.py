# SPDX-License-Identifier: Apache-2.0
"""The token that Argo's agent shows: written once by the pod's init container, for one user and one group."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

_UID, _GID = 8737, 0
"""Who may read it (argoproj/argo-workflows v4.1.2, cmd/argoexec/commands/agent.go: mode 0440)."""
_LONGEST = 4096


class TokenError(Exception):
    """The token can't be read; the message is a sentence without its stop."""


@dataclass(frozen=True, slots=True)
class Token:
    """What callers must show."""

    text: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Token:
        """Read the token's file.

        Raises:
            TokenError: it can't be read, or holds no token.
        """
        try:
            with path.open("rb") as file:
                raw = file.read(_LONGEST + 1)
        except FileNotFoundError:
            raise TokenError(
                f"{path}: there is no such file; Argo's agent pod has it, elsewhere name another one with --token-file"
            ) from None
        except OSError as error:
            raise TokenError(
                f"{path} can't be read ({error.strerror}): it is there for uid {_UID} and gid {_GID}, and this process "
                f"has uid {os.geteuid()} and gid {os.getegid()}; set securityContext.runAsUser: {_UID}, or "
                f"runAsGroup: {_GID}, for the plugin's container"
            ) from None
        text = raw.strip().decode("ascii", "replace")
        if not text or len(raw) > _LONGEST or not text.isascii() or not text.isprintable():
            raise TokenError(f"{path} holds no token: it must be one line of at most {_LONGEST} printable characters")
        return cls(text)

    def refusal(self, authorization: str) -> int | None:
        """Return the code to refuse a request with (401: no bearer token, 403: a wrong one); None: let it in."""
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            return 401
        same = hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), self.text.encode())
        return None if same else 403
