# SPDX-License-Identifier: Apache-2.0
"""What a worker's container finds in its file system: the flow's volumes, and Secrets for its addresses.

A worker gets the folders by environment variables, so that a kubelet without containers can put them elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelchain.api.data_flow import DataFlowSpec
from accelchain_operators.reconcile.actions import JsonObject

CREDENTIALS_FOLDER = "/etc/accelchain/credentials"
READABLE_BY_GROUP = 0o440


@dataclass(frozen=True, slots=True)
class SecretGrant:
    """A Secret of the flow's namespace and the addresses that it opens."""

    secret: str
    variable: str
    """The environment variable that holds the folder."""
    folder: str
    uris: tuple[str, ...]
    field: str
    """The first field that names the Secret."""


def volume_variable(index: int) -> str:
    """Return the environment variable that holds the folder of the flow's volume of that index."""
    return f"ACCELCHAIN_VOLUME_{index}"


def secret_grants(spec: DataFlowSpec) -> tuple[SecretGrant, ...]:
    """Return every Secret that the flow's inputs and outputs name, once, in the order of their names."""
    found: dict[str, tuple[list[str], str]] = {}
    for kind, addresses in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        for name, address in addresses.items():
            if address.credentials_ref is not None:
                field = f"spec.{kind}.{name}.credentialsRef"
                uris, _ = found.setdefault(address.credentials_ref.name, ([], field))
                if address.uri not in uris:
                    uris.append(address.uri)
    return tuple(
        SecretGrant(secret, f"ACCELCHAIN_CREDENTIALS_{i}", f"{CREDENTIALS_FOLDER}/{i}", tuple(uris), field)
        for i, (secret, (uris, field)) in enumerate(sorted(found.items()))
    )


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
    for index, grant in enumerate(secret_grants(spec)):
        name = f"credentials-{index}"
        volumes.append({"name": name, "secret": {"secretName": grant.secret, "defaultMode": READABLE_BY_GROUP}})
        mounts.append({"name": name, "mountPath": grant.folder, "readOnly": True})
        environment.append({"name": grant.variable, "value": grant.folder})
    return volumes, mounts, environment
