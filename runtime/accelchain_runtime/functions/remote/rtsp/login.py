# SPDX-License-Identifier: Apache-2.0
"""Answers to a camera's demand for credentials: Digest (RFC 7616) and Basic. Pure but for the random number."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Sequence
from urllib.request import parse_http_list, parse_keqv_list

_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""The best first. Cameras know little but MD5."""


class Login:
    """A user's credentials, and what the camera demanded last."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._challenge: dict[str, str] | None = None
        self._basic = False
        self._count = 0

    def take(self, demands: Sequence[str]) -> bool:
        """Remember a demand (the values of ``WWW-Authenticate``); returns whether it can be met."""
        digests = []
        self._challenge, self._basic, self._count = None, False, 0
        for demand in demands:
            scheme, _, rest = demand.partition(" ")
            if scheme.lower() == "basic":
                self._basic = True
            elif scheme.lower() == "digest":
                values = parse_keqv_list([each for each in parse_http_list(rest) if "=" in each])
                if values.get("algorithm", "MD5").upper() in _HASHES and "nonce" in values:
                    digests.append(values)
        if digests:
            order = list(_HASHES)
            self._challenge = min(digests, key=lambda each: order.index(each.get("algorithm", "MD5").upper()))
        return bool(self._user) and (self._basic or self._challenge is not None)

    def header(self, method: str, uri: str) -> str | None:
        """The value of ``Authorization`` for a request; None while nothing was demanded."""
        if self._challenge is not None:
            return self._digest(self._challenge, method, uri)
        if self._basic:
            return "Basic " + b64encode(f"{self._user}:{self._password}".encode()).decode()
        return None

    def _digest(self, challenge: dict[str, str], method: str, uri: str) -> str:
        algorithm = challenge.get("algorithm", "MD5").upper()
        realm, nonce = challenge.get("realm", ""), challenge["nonce"]

        def digest(text: str) -> str:
            return _HASHES[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()

        secret, request = digest(f"{self._user}:{realm}:{self._password}"), digest(f"{method}:{uri}")
        user = self._user.replace("\\", "\\\\").replace('"', '\\"')
        fields = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
        if "auth" in [each.strip() for each in challenge.get("qop", "").split(",")]:
            self._count += 1
            count, own = f"{self._count:08x}", secrets.token_hex(8)
            fields += [f'response="{digest(f"{secret}:{nonce}:{count}:{own}:auth:{request}")}"']
            fields += ["qop=auth", f"nc={count}", f'cnonce="{own}"']
        else:
            fields.append(f'response="{digest(f"{secret}:{nonce}:{request}")}"')
        if "algorithm" in challenge:
            fields.append(f"algorithm={challenge['algorithm']}")
        if "opaque" in challenge:
            fields.append(f'opaque="{challenge["opaque"]}"')
        return "Digest " + ", ".join(fields)
