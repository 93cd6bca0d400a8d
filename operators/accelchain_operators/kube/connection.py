# SPDX-License-Identifier: Apache-2.0
"""Where the Kubernetes API is and who we are: from kubeconfigs, or from the files that a pod is given."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelchain_operators.kube.exec_login import Credentials, ExecLogin
from accelchain_operators.kube.kubeconfig import ConfigError, Context, Kubeconfig, pem

__all__ = ["ConfigError", "Connection"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


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
    tls_server_name: str = ""
    """Name in the server's certificate, where it is not that of ``server``."""
    login: ExecLogin | None = None
    """The program that hands out credentials; asked where there is no token."""
    user: str = ""
    """Name of the kubeconfig's user, for messages."""

    def current_token(self) -> str:
        """Return the bearer token as of now; may run the login program, which blocks.

        Raises:
            ConfigError: the token's file can't be read, or the login program fails.
        """
        if self.token_file is not None:
            try:
                return self.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the token's file {self.token_file} can't be read: {error}") from None
        return self.token or self._credentials().token

    def headers(self) -> dict[str, str]:
        """Return the headers that say who we are; as ``current_token``."""
        token = self.current_token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context; None for plain HTTP.

        Raises:
            ConfigError: a certificate or key is none.
        """
        if not self.server.startswith("https:"):
            return None
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.verified_name = self.tls_server_name
        # As kubectl does: an intermediate certificate may be the root, and old clusters' certificates lack extensions
        # that Python 3.13 asks for by default.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            try:
                context.load_verify_locations(cadata=self.ca)
            except (ssl.SSLError, ValueError) as error:
                raise ConfigError(f"the cluster's certificate-authority is no certificate: {error}") from None
        else:
            context.load_default_certs()
        issued = self._credentials()
        certificate = self.client_certificate or issued.client_certificate
        if certificate:
            _load_certificate(context, certificate, self.client_key or issued.client_key)
        return context

    def _credentials(self) -> Credentials:
        return self.login.credentials() if self.login is not None else Credentials()

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
    def from_kubeconfig(cls, paths: Path | Sequence[Path], context: str | None = None) -> Connection:
        """Return the connection of a context, of the current one where None.

        Args:
            paths: One file, or several that are merged as kubectl merges those of ``KUBECONFIG``.
            context: Name of a context.

        Raises:
            ConfigError: the files can't be read, lack the context, or ask for something that is not supported.
        """
        config = Kubeconfig.load([paths] if isinstance(paths, Path) else list(paths))
        return cls.of_context(config.context(context))

    @classmethod
    def of_context(cls, chosen: Context) -> Connection:
        """Return the connection of a kubeconfig's context.

        Raises:
            ConfigError: a certificate, key or token can't be read, or something is not supported.
        """
        cluster, user = chosen.cluster, chosen.user
        _refuse(chosen)
        static = bool(user.get("token") or user.get("tokenFile"))
        connection = cls(
            server=str(cluster["server"]).rstrip("/"),
            token=str(user.get("token") or ""),
            token_file=Path(user["tokenFile"]) if user.get("tokenFile") else None,
            ca=pem(cluster, "certificate-authority", f"cluster {chosen.cluster_name}"),
            client_certificate=pem(user, "client-certificate", f"user {chosen.user_name}"),
            client_key=pem(user, "client-key", f"user {chosen.user_name}"),
            insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
            namespace=chosen.namespace,
            tls_server_name=str(cluster.get("tls-server-name") or ""),
            # As in kubectl: a token goes before a program that would make one.
            login=None if static or "exec" not in user else ExecLogin.of(user["exec"], chosen.user_name, cluster),
            user=chosen.user_name,
        )
        if bool(connection.client_certificate) != bool(connection.client_key):
            raise ConfigError(f"user {chosen.user_name}: a client certificate needs a key, and a key a certificate")
        if connection.token_file is not None:
            connection.current_token()
        return connection


class _Context(ssl.SSLContext):
    """A TLS context that may ask for another name than the one that was dialled."""

    verified_name: str = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection, as asyncio does."""
        return super().wrap_bio(incoming, outgoing, server_side, self.verified_name or server_hostname, session)


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a client certificate. Python does so from files only; these live for this call, readable by us alone."""
    with tempfile.NamedTemporaryFile("w") as certificate_file, tempfile.NamedTemporaryFile("w") as key_file:
        for file, text in ((certificate_file, certificate), (key_file, key)):
            file.write(text)
            file.flush()
        try:
            context.load_cert_chain(certificate_file.name, key_file.name)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the client certificate and its key can't be used: {error}") from None


_PROVIDERS = {
    "gcp": "install gke-gcloud-auth-plugin and run gcloud container clusters get-credentials again",
    "azure": "run kubelogin convert-kubeconfig",
    "oidc": "log in by an exec plugin, kubectl oidc-login for one",
}
"""What stands for auth providers, which Kubernetes took out."""


def _refuse(chosen: Context) -> None:
    """Refuse what would otherwise be passed over without a word."""
    user, cluster = chosen.user, chosen.cluster
    who = f"user {chosen.user_name}"
    provider: Any = user.get("auth-provider")
    if provider:
        name = str(provider.get("name", "")) if isinstance(provider, dict) else ""
        advice = _PROVIDERS.get(name, "use a token, a client certificate or an exec plugin")
        raise ConfigError(f"{who} logs in by auth-provider {name}, which is not supported: {advice}")
    if user.get("username") or user.get("password"):
        raise ConfigError(f"{who} logs in by name and password, which Kubernetes took out: use a token")
    for key in ("as", "as-uid", "as-groups", "as-user-extra"):
        if user.get(key):
            raise ConfigError(f"{who} acts for somebody else ({key}), which is not supported: use that one's own login")
    if cluster.get("proxy-url"):
        raise ConfigError(
            f"cluster {chosen.cluster_name}: proxy-url is not supported: reach it by a forwarded port "
            "and tls-server-name, or from a machine that needs no proxy"
        )
