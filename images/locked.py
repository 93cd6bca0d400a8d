# SPDX-License-Identifier: Apache-2.0
"""``python locked.py LOCK NAMES``: print the part of a lock file that the named packages need, hashes and all.

The lock file is one that ``uv pip compile`` wrote: its ``# via`` comments say who needs a package, so the part is found
without a resolver and without the network. It runs in an image's build, so it imports nothing but the standard library.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class LockError(Exception):
    """The lock file doesn't hold what was asked for; the message is a sentence."""


@dataclass(frozen=True)
class Pin:
    """One pinned package of a lock file."""

    name: str
    text: str
    """Its lines as they are: version, marker, hashes, comments."""
    needed_by: frozenset[str]
    """Names of the packages that need it."""


def canonical(name: str) -> str:
    """Return a package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> Iterator[Pin]:
    """Yield the pins of a lock file in its order; a package that is pinned once a marker comes once a marker."""
    for text in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        found = _NAME.match(text)
        if found is None:  # what stands before the first pin
            continue
        comments = "\n".join(line.split("#", 1)[1] for line in text.splitlines() if "#" in line)
        needed_by = comments.partition("via")[2].split("\n")
        yield Pin(canonical(found[0]), text, frozenset(canonical(word.strip()) for word in needed_by if word.strip()))


def names(text: str) -> tuple[str, ...]:
    """Return the package names of a list: one a line, ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(canonical(line) for line in lines if line)


def part(lock: str, roots: Iterable[str]) -> str:
    """Return the pins of ``roots`` and of all that they need, in the lock's order.

    Raises:
        LockError: a root is not in the lock file.
    """
    every = tuple(pins(lock))
    wanted = {canonical(root) for root in roots}
    if missing := wanted - {pin.name for pin in every}:
        raise LockError(f"The lock file has no {', '.join(sorted(missing))}: add it to setup.cfg and run `make lock`.")
    while more := {pin.name for pin in every if pin.needed_by & wanted} - wanted:
        wanted |= more
    return "".join(pin.text for pin in every if pin.name in wanted)


def main(argv: Sequence[str]) -> int:
    """Print the part; returns the exit code."""
    lock, listed = (Path(argument).read_text(encoding="utf-8") for argument in argv)
    try:
        print(part(lock, names(listed)), end="")
    except LockError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
