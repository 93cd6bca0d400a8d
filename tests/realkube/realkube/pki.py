# SPDX-License-Identifier: Apache-2.0
"""Certificates and kubeconfigs of a cluster."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files in PEM."""

    certificate: Path
    key: Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


class Authority:
    """A certificate authority in a folder: ``ca.crt``, ``ca.key`` and what it issued; made where there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = Pair(folder / "ca.crt", folder / "ca.key")
        if not self.pair.key.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._create()
        key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())

    def issue(self, file: str, user: str, groups: Sequence[str] = (), names: Sequence[str] = ()) -> Pair:
        """Issue a certificate for serving and as a client.

        Args:
            file: name of the files.
            user: the common name, which Kubernetes takes as the user.
            groups: the organisations, which Kubernetes takes as the user's groups.
            names: DNS names and IP addresses that it serves.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = _builder(subject, self._certificate.subject, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        pair = Pair(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        pair.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        write_private(pair.key, _pem(key))
        return pair

    def kubeconfig(self, path: Path, server: str, pair: Pair) -> Path:
        """Write a kubeconfig that needs no other file."""
        data = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "realkube",
                    "cluster": {"server": server, **_data(self.pair.certificate, "certificate-authority")},
                }
            ],
            "users": [
                {"name": "user", "user": _data(pair.certificate, "client-certificate") | _data(pair.key, "client-key")}
            ],
            "contexts": [{"name": "realkube", "context": {"cluster": "realkube", "user": "user"}}],
            "current-context": "realkube",
        }
        write_private(path, yaml.safe_dump(data).encode())
        return path

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "realkube")])
        builder = _builder(subject, subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        self.pair.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(_PEM))
        write_private(self.pair.key, _pem(key))


def signing_key(folder: Path) -> Pair:
    """Make the key pair that ServiceAccount tokens are signed with; the public half stands for the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(folder / "tokens.pub", folder / "tokens.key")
    pair.certificate.write_bytes(key.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    write_private(pair.key, _pem(key))
    return pair


_PEM = serialization.Encoding.PEM


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
    )


def _data(path: Path, name: str) -> dict[str, str]:
    return {f"{name}-data": base64.b64encode(path.read_bytes()).decode()}
