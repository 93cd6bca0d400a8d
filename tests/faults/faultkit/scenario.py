# SPDX-License-Identifier: Apache-2.0
"""Which flows there are, and what their users do to them: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from faultkit.api import NAMESPACES, RATE
from faultkit.scripts import TRANSIENT, Script


@dataclass(frozen=True, slots=True)
class Act:
    """What the user does to a flow."""

    what: str
    """suspend, cancel, delete, change."""
    after: float
    """Seconds after its worker first ran, or ``since_creation``."""
    since_creation: bool = False
    back_after: float = 0.0
    """Of a suspension: seconds until it is resumed."""


@dataclass(frozen=True, slots=True)
class Case:
    """A flow: what it is, what its workers do, and what its user does."""

    name: str
    namespace: str
    spec: dict[str, Any]
    scripts: tuple[Script, ...]
    acts: tuple[Act, ...]
    created: float
    """Seconds after the scenario's start."""

    @property
    def limit(self) -> int:
        """How many failures are retried."""
        return int((self.spec.get("retries") or {}).get("limit", 0))

    @property
    def mode(self) -> str:
        """Batch or Stream."""
        return str(self.spec["mode"])

    @property
    def replans(self) -> int:
        """How often its user has it planned anew."""
        return sum(act.what in ("suspend", "change") for act in self.acts)

    def has(self, what: str) -> bool:
        """Tell whether its user does something."""
        return any(act.what == what for act in self.acts)


KINDS = {
    "plain": 20,
    "user": 8,
    "transient": 26,
    "suspend": 9,
    "change": 9,
    "cancel": 7,
    "delete": 7,
    "deadline": 5,
    "ttl": 9,
}
"""Kinds of flows, and how often of a hundred each is drawn."""


def draw(rng: random.Random, count: int, seconds: float) -> list[Case]:
    """Return flows of mixed kinds, created over some seconds."""
    kinds = rng.choices(list(KINDS), list(KINDS.values()), k=count)
    return [_case(rng, f"f{number:03}-{kind}", kind, seconds) for number, kind in enumerate(kinds)]


def _case(rng: random.Random, name: str, kind: str, seconds: float) -> Case:
    limit = rng.randint(0, 3)
    mode = "Stream" if rng.random() < 0.25 else "Batch"
    spec: dict[str, Any] = {"mode": mode, "retries": {"limit": limit}}
    if rng.random() < 0.5:
        # Up to two thirds of gpu0: load decides there, and places on gpu1.
        spec["rate"] = {"framesPerSecond": round(rng.uniform(0.1, 0.66) * RATE, 2)}
    length = rng.uniform(0.1, 0.8)
    scripts: list[Script] = []
    acts: list[Act] = []
    after = rng.uniform(0.0, length)
    match kind:
        case "user":
            failing = rng.randint(0, limit)
            scripts = [Script(rng.choice(TRANSIENT), length / 2) for _ in range(failing)]
            scripts.append(Script("InvalidInput", length))
        case "transient":
            # One more than are retried ends the flow.
            scripts = [Script(rng.choice(TRANSIENT), rng.uniform(0.0, 0.4)) for _ in range(rng.randint(1, limit + 1))]
        case "suspend":
            acts.append(Act("suspend", after, rng.random() < 0.3, rng.uniform(0.0, 1.5)))
        case "change":
            acts.append(Act("change", after, rng.random() < 0.3))
        case "cancel":
            acts.append(Act("cancel", after, rng.random() < 0.3))
        case "delete":
            acts.append(Act("delete", after, rng.random() < 0.3))
            if mode == "Stream":
                scripts = [Script("never")] * 12
        case "deadline":
            spec["activeDeadlineSeconds"] = rng.randint(1, 3)
            scripts = [Script("never", heeds_deadline=rng.random() < 0.5)] * 12
        case "ttl":
            spec["ttlSecondsAfterFinished"] = rng.randint(0, 2)
    if not scripts:
        scripts = [Script("succeed", length)] * 12
    return Case(name, rng.choice(NAMESPACES), spec, tuple(scripts), tuple(acts), rng.uniform(0.0, seconds))
