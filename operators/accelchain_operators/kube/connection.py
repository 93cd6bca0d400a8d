# SPDX-License-Identifier: Apache-2.0
"""Where the Kubernetes API is and who we are: from a kubeconfig, or from the files that a pod is given."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """A kubeconfig, or the surroundings of a pod, that can't be used."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server and the credentials for it. Certificates and keys are PEM text."""

    server: str
    token: str = ""
    token_file: Path | None = None
    """Read again for every request: the kubelet rotates it. Goes before ``token``."""
    ca: str = ""
    client_certificate: str = ""
    client_key: str = ""
    insecure: bool = False
    namespace: str = "default"

    def current_token(self) -> str:
        """Return the bearer token as of now."""
        return self.token_file.read_text().strip() if self.token_file else self.token

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            # Python loads a client certificate from files only; these live for this call, readable by us alone.
            with tempfile.NamedTemporaryFile("w") as certificate, tempfile.NamedTemporaryFile("w") as key:
                certificate.write(self.client_certificate)
                key.write(self.client_key)
                certificate.flush()
                key.flush()
                context.load_cert_chain(certificate.name, key.name)
        return context

    @classmethod
    def in_cluster(cls) -> Connection:
        """Return the connection that Kubernetes gives every pod with a service account.

        Raises:
            ConfigError: this process runs in no pod, or the pod has no service account's token.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise ConfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
        try:
            return cls(
                server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
                token_file=SERVICE_ACCOUNT / "token",
                ca=(SERVICE_ACCOUNT / "ca.crt").read_text(),
                namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
            )
        except OSError as error:
            raise ConfigError(f"the pod has no service account: {error}") from error

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str | None = None) -> Connection:
        """Read a kubeconfig with a token, a token file or a client certificate.

        Raises:
            ConfigError: the file can't be read, lacks the context, or logs in by a program (exec, auth-provider).
        """
        try:
            config = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: {error}") from error
        if not isinstance(config, dict):
            raise ConfigError(f"{path}: this is no kubeconfig")
        name = context or config.get("current-context") or ""
        if not name:
            raise ConfigError(f"{path}: no context is given and current-context is not set")
        chosen = _named(config, "contexts", "context", name, path)
        cluster = _named(config, "clusters", "cluster", chosen.get("cluster", ""), path)
        user = _named(config, "users", "user", chosen["user"], path) if chosen.get("user") else {}
        for unsupported in ("exec", "auth-provider"):
            if unsupported in user:
                raise ConfigError(
                    f"{path}: user {chosen['user']} logs in by {unsupported}, which is not supported: "
                    "use a token or a client certificate"
                )
        if "server" not in cluster:
            raise ConfigError(f"{path}: cluster {chosen.get('cluster')} has no server")
        token_file = user.get("tokenFile")
        return cls(
            server=str(cluster["server"]).rstrip("/"),
            token=user.get("token", ""),
            token_file=path.parent / token_file if token_file else None,
            ca=_pem(cluster, "certificate-authority", path),
            client_certificate=_pem(user, "client-certificate", path),
            client_key=_pem(user, "client-key", path),
            insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
            namespace=chosen.get("namespace") or "default",
        )


def _named(config: dict[str, Any], section: str, key: str, name: str, path: Path) -> dict[str, Any]:
    """Return the entry of that name from a list of named entries."""
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise ConfigError(f"{path}: {section} has no entry {name!r}")


def _pem(entry: dict[str, Any], key: str, path: Path) -> str:
    """Return PEM text from ``key-data`` (base64) or the file that ``key`` names, relative to the kubeconfig."""
    try:
        if f"{key}-data" in entry:
            return base64.b64decode(entry[f"{key}-data"], validate=True).decode("ascii")
        return (path.parent / entry[key]).read_text() if key in entry else ""
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {key}: {error}") from error
