# SPDX-License-Identifier: Apache-2.0
"""A container's command line: each word of it is a parameter, an input or an output, or it can't be told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from accelchain.argo.core.unknown import is_unknown

_OPTION: Final = re.compile(r"--([A-Za-z][-\w]*)(?:=(.*))?", re.DOTALL | re.ASCII)
_PORT: Final = re.compile(r"([A-Za-z][-\w]*)=(.+)", re.DOTALL | re.ASCII)
_STEP: Final = (("accelchain", "step"), ("python", "-m", "accelchain_runtime.step"))
"""How the worker's image runs one function; its name follows."""


class CommandError(Exception):
    """A word that stands for nothing of the function."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that was understood."""

    function: str | None
    """The function that it names; None: the program is one of its own."""
    parameters: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """File by port."""
    outputs: dict[str, str] = field(default_factory=dict)


def parse_command(command: Sequence[str], args: Sequence[str]) -> Command:
    """Read ``--name value``, ``--name=value``, ``--input PORT=FILE`` and ``--output PORT=FILE``.

    Args:
        command: the container's; its first words are the program.
        args: the container's.

    Raises:
        CommandError: with a sentence.
    """
    program = list(command)
    words = list(args)
    options = next((i for i, word in enumerate(program) if word.startswith("--")), len(program))
    program, words = program[:options], program[options:] + words
    parsed = Command(_function(program, words))
    while words:
        word = words.pop(0)
        found = _OPTION.fullmatch(word)
        if found is None:
            raise CommandError(f"'{word[:60]}' in its command line is neither a parameter nor a file of the function")
        name, value = found[1], found[2]
        if value is None:
            if not words or words[0].startswith("--"):
                raise CommandError(f"--{name} in its command line has no value")
            value = words.pop(0)
        _put(parsed, name, value)
    return parsed


def _function(program: list[str], words: list[str]) -> str | None:
    """Return the function that the program runs; the words after it are taken off."""
    for start in _STEP:
        if tuple(program[: len(start)]) == start:
            rest = program[len(start) :]
            if not rest and words and not words[0].startswith("--"):
                rest = [words.pop(0)]
            if len(rest) != 1 or is_unknown(rest[0]):
                raise CommandError("its command line does not name one function")
            return rest[0]
    for i, word in enumerate(program):
        if word.startswith("-") and word != "-m":
            raise CommandError(f"'{word[:60]}' in its command is no option that is understood")
        if is_unknown(word) or (i > 2 and len(program) > 3):
            raise CommandError(f"'{word[:60]}' in its command is not the program's name")
    return None


def _put(parsed: Command, name: str, value: str) -> None:
    place, key = parsed.parameters, name
    if name in ("input", "output"):
        found = _PORT.fullmatch(value)
        if found is None:
            raise CommandError(f"--{name} {value[:60]} in its command line is not PORT=FILE")
        place, key, value = (parsed.inputs if name == "input" else parsed.outputs), found[1], found[2]
    if key in place:
        raise CommandError(f"{key} is in its command line twice")
    place[key] = value
