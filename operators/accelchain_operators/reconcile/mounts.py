# SPDX-License-Identifier: Apache-2.0
"""What a worker's container finds in its file system: the flow's volumes, and Secrets for its addresses.

A worker gets the folders by environment variables, so that a kubelet without containers can put them elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from accelchain.api.data_flow import Address, DataFlowSpec, S3Access
from accelchain_operators.reconcile.actions import JsonObject

CREDENTIALS_FOLDER = "/etc/accelchain/credentials"
READABLE_BY_GROUP = 0o440
_FILES = {
    "accessKeySecret": "accessKeyId",
    "secretKeySecret": "secretAccessKey",
    "sessionTokenSecret": "sessionToken",
    "caSecret": "ca.crt",
}
"""The file that holds a key named by ``s3``: as in a folder that is a whole Secret."""


@dataclass(frozen=True, slots=True)
class SecretKeyFile:
    """A key of a Secret, and its file in the folder."""

    secret: str
    key: str
    file: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What opens addresses of the flow: a folder of credentials, a place where buckets are, or both."""

    uris: tuple[str, ...]
    secret: str = ""
    """The Secret that the folder is; empty where it is made of ``files``."""
    files: tuple[SecretKeyFile, ...] = ()
    s3: S3Access | None = None
    variable: str = ""
    """The environment variable that holds the folder; empty: there is no folder."""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class SecretGrant:
    """A Secret of the flow's namespace that the flow names."""

    secret: str
    key: str
    """The one key that is named; empty: the Secret as a whole is."""
    field: str
    """The first field that names it."""

    @property
    def lack(self) -> str:
        """How ``FlowSnapshot.missing_secrets`` names the key where the Secret is there without it."""
        return f"{self.secret}/{self.key}"


def volume_variable(index: int) -> str:
    """Return the environment variable that holds the folder of the flow's volume of that index."""
    return f"ACCELCHAIN_VOLUME_{index}"


def secret_grants(spec: DataFlowSpec) -> tuple[SecretGrant, ...]:
    """Return every Secret and key of one that the flow's inputs and outputs name, once, in the order of their names."""
    found: dict[tuple[str, str], SecretGrant] = {}
    for field, address in _addresses(spec):
        if address.credentials_ref is not None:
            name = address.credentials_ref.name
            found.setdefault((name, ""), SecretGrant(name, "", f"{field}.credentialsRef"))
        if address.s3 is not None:
            for which, (secret, key) in _keys(address.s3).items():
                found.setdefault((secret, key), SecretGrant(secret, key, f"{field}.s3.{which}"))
    return tuple(found[key] for key in sorted(found))


def grants(spec: DataFlowSpec) -> tuple[Grant, ...]:
    """Return what opens the flow's addresses: one entry for all addresses that are opened alike."""
    whole: dict[str, list[str]] = {}
    pieces: dict[str, tuple[S3Access, list[str]]] = {}
    for _, address in _addresses(spec):
        if address.credentials_ref is not None:
            uris = whole.setdefault(address.credentials_ref.name, [])
        elif address.s3 is not None:
            _, uris = pieces.setdefault(address.s3.model_dump_json(), (address.s3, []))
        else:
            continue
        if address.uri not in uris:
            uris.append(address.uri)
    found = [Grant(tuple(uris), secret=name) for name, uris in sorted(whole.items())]
    for _, (access, uris) in sorted(pieces.items()):
        files = tuple(SecretKeyFile(secret, key, _FILES[which]) for which, (secret, key) in _keys(access).items())
        found.append(Grant(tuple(uris), files=files, s3=access))
    number = itertools.count()
    return tuple(_placed(grant, next(number)) if grant.secret or grant.files else grant for grant in found)


def flow_mounts(spec: DataFlowSpec) -> tuple[list[JsonObject], list[JsonObject], list[JsonObject]]:
    """Return the Pod's volumes, the container's volumeMounts and its environment for what the flow brings along."""
    volumes: list[JsonObject] = []
    mounts: list[JsonObject] = []
    environment: list[JsonObject] = []
    for index, volume in enumerate(spec.volumes):
        name = f"volume-{index}"
        claim = {"claimName": volume.persistent_volume_claim.claim_name, "readOnly": volume.read_only}
        volumes.append({"name": name, "persistentVolumeClaim": claim})
        mounts.append({"name": name, "mountPath": volume.mount_path, "readOnly": volume.read_only})
        environment.append({"name": volume_variable(index), "value": volume.mount_path})
    for grant in grants(spec):
        if grant.folder:
            name = f"credentials-{grant.folder.rpartition('/')[2]}"
            volumes.append({"name": name, **_volume_source(grant)})
            mounts.append({"name": name, "mountPath": grant.folder, "readOnly": True})
            environment.append({"name": grant.variable, "value": grant.folder})
    return volumes, mounts, environment


def _addresses(spec: DataFlowSpec) -> Iterator[tuple[str, Address]]:
    """Yield every address of the flow with the path of its field."""
    for kind, addresses in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        for name, address in addresses.items():
            yield f"spec.{kind}.{name}", address


def _keys(access: S3Access) -> dict[str, tuple[str, str]]:
    """Return the Secret's name and the key of every field that names one."""
    named = {
        "accessKeySecret": access.access_key_secret,
        "secretKeySecret": access.secret_key_secret,
        "sessionTokenSecret": access.session_token_secret,
        "caSecret": access.ca_secret,
    }
    return {field: (key.name, key.key) for field, key in named.items() if key is not None}


def _placed(grant: Grant, number: int) -> Grant:
    """Return the grant with its folder."""
    return replace(grant, variable=f"ACCELCHAIN_CREDENTIALS_{number}", folder=f"{CREDENTIALS_FOLDER}/{number}")


def _volume_source(grant: Grant) -> JsonObject:
    if grant.secret:
        return {"secret": {"secretName": grant.secret, "defaultMode": READABLE_BY_GROUP}}
    items: dict[str, list[JsonObject]] = {}
    for file in grant.files:
        items.setdefault(file.secret, []).append({"key": file.key, "path": file.file})
    sources = [{"secret": {"name": secret, "items": found}} for secret, found in items.items()]
    return {"projected": {"defaultMode": READABLE_BY_GROUP, "sources": sources}}
