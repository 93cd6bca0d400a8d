# SPDX-License-Identifier: Apache-2.0
"""Logging in by a program (``client.authentication.k8s.io``): it prints a token or a certificate that expires."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accelchain_operators.kube.kubeconfig import ConfigError

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
DEADLINE, PATIENCE = 60.0, 300.0
"""Seconds that a program gets, and that it gets where it may ask the user."""
EARLY = 20.0
"""Seconds before its end that a credential counts as expired: requests under way need it still."""
_MODES = ("Never", "IfAvailable", "Always")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the program printed."""

    token: str = ""
    client_certificate: str = ""
    client_key: str = ""
    expires: float | None = None
    """Seconds since 1970."""


@dataclass(slots=True)
class ExecLogin:
    """A login program; what it printed is used until it expires.

    Its certificate is taken when the connection is opened: one that expires is renewed with the next connection.
    """

    user: str
    command: Sequence[str]
    version: str
    environment: dict[str, str] = field(default_factory=dict)
    mode: str = "IfAvailable"
    hint: str = ""
    cluster: dict[str, Any] | None = None
    """What the program is told of the cluster; None: nothing."""
    deadline: float = DEADLINE
    clock: Callable[[], float] = time.time
    _issued: Credentials | None = None

    @classmethod
    def of(cls, program: Any, user: str, cluster: dict[str, Any]) -> ExecLogin:
        """Return the login of a kubeconfig's ``exec``.

        Raises:
            ConfigError: it is malformed, or speaks another version.
        """
        if not isinstance(program, dict) or not program.get("command"):
            raise ConfigError(f"user {user}: exec has no command")
        version, mode = str(program.get("apiVersion") or ""), str(program.get("interactiveMode") or "IfAvailable")
        if version not in VERSIONS:
            raise ConfigError(
                f"user {user}: exec.apiVersion {version or '(none)'} is not supported: update the program's entry "
                f"to {VERSIONS[0]}"
            )
        if mode not in _MODES:
            raise ConfigError(f"user {user}: exec.interactiveMode {mode} is none of {', '.join(_MODES)}")
        return cls(
            user=user,
            command=[str(program["command"]), *map(str, program.get("args") or ())],
            version=version,
            environment={str(e["name"]): str(e.get("value", "")) for e in program.get("env") or ()},
            mode=mode,
            hint=" ".join(str(program.get("installHint") or "").split()),
            cluster=_cluster_info(cluster) if program.get("provideClusterInfo") else None,
        )

    def credentials(self) -> Credentials:
        """Return valid credentials; runs the program where there are none yet, or where they expire.

        Raises:
            ConfigError: it fails, does not end in time, or prints something else.
        """
        issued = self._issued
        if issued is None or (issued.expires is not None and self.clock() >= issued.expires - EARLY):
            issued = self._issued = self._run()
        return issued

    def _run(self) -> Credentials:
        interactive = self.mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if self.mode == "Always" and not interactive:
            raise ConfigError(f"user {self.user}: {self.command[0]} must ask you something, and there is no terminal")
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.version, "kind": "ExecCredential", "spec": spec}
        deadline = PATIENCE if interactive else self.deadline
        try:
            done = subprocess.run(
                self.command,
                env={**os.environ, **self.environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                timeout=deadline,
                check=False,
            )
        except FileNotFoundError:
            hint = f": {self.hint}" if self.hint else ""
            raise ConfigError(f"user {self.user}: the login program {self.command[0]} is not installed{hint}") from None
        except OSError as error:
            raise ConfigError(f"user {self.user}: {self.command[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"user {self.user}: {self.command[0]} had not ended after {deadline:g} s") from None
        if done.returncode:
            said = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()
            why = f": {said[-1]}" if said else ""
            raise ConfigError(
                f"user {self.user}: {self.command[0]} ended with {done.returncode}{why}; log in with it and try again"
            )
        return self._parse(done.stdout)

    def _parse(self, output: bytes) -> Credentials:
        what = f"user {self.user}: {self.command[0]}"
        try:
            document = json.loads(output)
            version, status = document["apiVersion"], document.get("status") or {}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{what} printed no ExecCredential") from None
        if version != self.version:
            raise ConfigError(f"{what} printed an ExecCredential of {version}; {self.version} is wanted")
        certificate, key = status.get("clientCertificateData") or "", status.get("clientKeyData") or ""
        token = status.get("token") or ""
        if bool(certificate) != bool(key) or not (token or certificate):
            raise ConfigError(f"{what} printed neither a token nor a certificate with its key")
        return Credentials(token, certificate, key, _expiry(status.get("expirationTimestamp"), what))


def _expiry(text: Any, what: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigError(f"{what} printed an expirationTimestamp that is no time: {text}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cluster_info(cluster: dict[str, Any]) -> dict[str, Any]:
    """Return what ``provideClusterInfo`` promises: the cluster's entry, without files."""
    keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    info = {key: cluster[key] for key in keys if key in cluster}
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info
