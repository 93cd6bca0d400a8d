# SPDX-License-Identifier: Apache-2.0
"""What follows from a write: a definition is served, an orphan is collected, old Events go."""

from __future__ import annotations

from datetime import UTC, datetime

from accelchain_operators.localkube.api import deletion
from accelchain_operators.localkube.api.cluster import Cluster
from accelchain_operators.localkube.objects import JsonObject, parse_timestamp, same
from accelchain_operators.localkube.resources.builtin import CRD_STORAGE, EVENTS
from accelchain_operators.localkube.resources.crd import crd_endpoints
from accelchain_operators.localkube.resources.endpoint import Endpoint
from accelchain_operators.localkube.store.store import Key


def after_write(cluster: Cluster, endpoint: Endpoint, obj: JsonObject, old: JsonObject | None) -> None:
    """Do what a write of this object brings about."""
    meta = obj["metadata"]
    if endpoint.storage == CRD_STORAGE and (old is None or not same(obj["spec"], old["spec"])):
        serve_definition(cluster, obj)
    if endpoint.storage == EVENTS and old is None:
        drop_old_events(cluster)
    if meta.get("ownerReferences"):
        key = Key(endpoint.storage, meta.get("namespace", ""), meta["name"])
        cluster.defer(lambda: deletion.collect_if_orphan(cluster, key, meta["uid"]))


def serve_definition(cluster: Cluster, crd: JsonObject) -> None:
    """Serve the versions of a definition, in place of those served before."""
    cluster.registry.discard(crd["spec"]["group"], crd["spec"]["names"]["plural"])
    for endpoint in crd_endpoints(crd):
        cluster.registry.add(endpoint)


def drop_old_events(cluster: Cluster) -> None:
    """Remove the Events that are too old or too many; looked at when one is added, so that nothing polls."""
    now = datetime.now(UTC)
    while (oldest := cluster.store.oldest(EVENTS)) is not None:
        meta = oldest["metadata"]
        age = (now - parse_timestamp(meta["creationTimestamp"])).total_seconds()
        if cluster.store.count(EVENTS) <= cluster.event_limit and age < cluster.event_seconds:
            return
        cluster.store.remove(Key(EVENTS, meta["namespace"], meta["name"]))
