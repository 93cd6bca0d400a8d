# SPDX-License-Identifier: Apache-2.0
"""Whether a process of ours works (liveness), and whether it can (readiness). Pure: values in, verdict out.

That the API does not answer is no reason to be restarted: it makes a process not ready, not dead. What makes it dead
is that it does not try: a watch that neither hears nor asks, or work that never ends. That the event loop turns is
shown by the answer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

WATCH_SILENCE = 180.0
"""Seconds: kopf asks anew after 70 s of silence, and waits up to 21 s between two tries."""
LONGEST_WORK = 600.0
"""Seconds: calls of an API in trouble are tried again for up to three minutes, and work makes several."""
API_SILENCE = 90.0
"""Seconds: servers send a bookmark a minute."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    fault: str = ""
    """Empty: it is well."""


@dataclass(slots=True)
class Signs:
    """When something was last heard of (s, of the clock that the checks get)."""

    heard: dict[str, float] = field(default_factory=dict)
    """By plural of the kind: an event, a bookmark or a list."""
    tried: dict[str, float] = field(default_factory=dict)
    """By plural of the kind: a request was made."""
    answered: float = float("-inf")
    """The API answered anything."""
    synced: bool = False
    """All kinds were listed, and changes are seen."""


def liveness(signs: Signs, watched: Iterable[str], busy: Mapping[str, Iterable[float]], now: float) -> list[Check]:
    """Return what liveness looks at.

    Args:
        signs: What was heard of.
        watched: Plurals of the kinds that must be.
        busy: By controller, for how many seconds each of its keys at work has been so.
        now: The time.
    """
    checks = []
    for plural in watched if signs.synced else ():
        last = max(signs.heard.get(plural, float("-inf")), signs.tried.get(plural, float("-inf")))
        silent = now - last
        checks.append(Check(f"watch of {plural}", f"silent for {silent:.0f} s" if silent > WATCH_SILENCE else ""))
    for name, seconds in busy.items():
        longest = max(seconds, default=0.0)
        checks.append(
            Check(f"queue of {name}", f"a key is at work for {longest:.0f} s" if longest > LONGEST_WORK else "")
        )
    return checks


def readiness(signs: Signs, now: float) -> list[Check]:
    """Return what readiness looks at; who leads is not among it: a standby is ready too."""
    silent = now - signs.answered
    return [
        Check("caches", "" if signs.synced else "not filled yet"),
        Check("API", f"no answer for {silent:.0f} s" if silent > API_SILENCE else ""),
    ]


def report(checks: Iterable[Check]) -> tuple[bool, str]:
    """Return whether all is well, and a line a check, as the Kubernetes components write it."""
    told = list(checks)
    lines = [f"[-]{check.name} failed: {check.fault}" if check.fault else f"[+]{check.name} ok" for check in told]
    well = not any(check.fault for check in told)
    return well, "\n".join([*lines, "ok" if well else "failed", ""])


Probe = Callable[[], list[Check]]
"""What a path of the health server answers with."""
