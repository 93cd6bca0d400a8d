# SPDX-License-Identifier: Apache-2.0
"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Return a time (seconds since 1970) as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(time: str) -> float:
    """Return a time of Kubernetes as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
