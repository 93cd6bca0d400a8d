# SPDX-License-Identifier: Apache-2.0
"""What a caller can ask for beside the object itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from accelchain_operators.localkube.errors import bad_request, invalid, invalid_value
from accelchain_operators.localkube.objects import JsonObject


@dataclass(slots=True)
class WriteOptions:
    """Options of create, update, patch and apply. ``warnings`` collects what the answer's Warning headers say."""

    manager: str = "unknown"
    dry_run: bool = False
    field_validation: str = "Warn"
    """Strict, Warn or Ignore: what to do about fields that the schema doesn't know."""
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Options of delete."""

    grace_seconds: int | None = None
    propagation: str = "Background"
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False

    @classmethod
    def read(cls, body: JsonObject, query: dict[str, str]) -> DeleteOptions:
        """Read options from the body, which wins, and the query. Raises StatusError 400 or 422."""
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        propagation = body.get("propagationPolicy") or query.get("propagationPolicy")
        orphan = body.get("orphanDependents", {"true": True, "false": False}.get(query.get("orphanDependents", "")))
        if propagation is None:
            propagation = "Orphan" if orphan else "Background"
        if propagation not in ("Background", "Foreground", "Orphan"):
            cause = invalid_value("propagationPolicy", propagation, "must be Foreground, Background or Orphan")
            raise invalid("meta.k8s.io", "DeleteOptions", "", [cause])
        preconditions = body.get("preconditions") or {}
        try:
            seconds = None if grace is None else int(grace)
        except (TypeError, ValueError):
            raise bad_request(f"gracePeriodSeconds must be an integer, not {grace!r}") from None
        return cls(
            grace_seconds=seconds,
            propagation=propagation,
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            dry_run=read_dry_run(body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])),
        )


def read_dry_run(values: list[str]) -> bool:
    """Return whether nothing shall be stored. Raises StatusError 422."""
    if not values:
        return False
    if values != ["All"]:
        cause = invalid_value("dryRun", values, "Unsupported value: supported values: All")
        raise invalid("meta.k8s.io", "WriteOptions", "", [cause])
    return True
