# SPDX-License-Identifier: Apache-2.0
"""What a template is called with, against the inputs that it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hera.workflows import Artifact
from hera.workflows.models import Arguments, Inputs
from hera.workflows.models import Artifact as ModelArtifact
from hera.workflows.models import Parameter as ModelParameter

from accelchain.chain.problems import choose
from accelchain.hera.errors import CompositionError


def check_arguments(template: str, inputs: Inputs | None, arguments: Any) -> None:
    """Check the arguments of a call.

    Args:
        template: its name, for messages.
        inputs: what it declares.
        arguments: as Hera takes them.

    Raises:
        CompositionError: one is unknown, missing, or of the other kind.
    """
    entries = (*(inputs.parameters or ()), *(inputs.artifacts or ())) if inputs else ()
    known: dict[str, Any] = {str(entry.name): entry for entry in entries}
    given = dict(_pairs(arguments))
    for name, value in given.items():
        if name not in known:
            what = choose(name, known) if known else "it takes none."
            raise CompositionError(f"'{template}' takes no argument '{name}': {what}")
        if isinstance(known[name], ModelArtifact):
            if isinstance(value, str | int | float):
                raise CompositionError(
                    f"'{template}', argument '{name}': it is an artifact: give S3Artifact(…), another task's "
                    "get_artifact(…), or declare the input with uri= and a parameter."
                )
        elif isinstance(value, Artifact | ModelArtifact):
            raise CompositionError(f"'{template}', argument '{name}': it is a parameter, and gets an artifact.")
    for name, entry in known.items():
        if not _is_given(entry) and name not in given:
            raise CompositionError(f"'{template}' lacks its argument '{name}': give arguments={{'{name}': …}}.")


def _pairs(arguments: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of a call's arguments as Hera takes them: a mapping, or a list of these and of entries."""
    if isinstance(arguments, Arguments):
        arguments = [*(arguments.parameters or ()), *(arguments.artifacts or ())]
    for each in arguments if isinstance(arguments, Sequence) else [arguments] if arguments is not None else ():
        if isinstance(each, Mapping):
            yield from ((str(name), value) for name, value in each.items())
        else:
            yield str(each.name), each


def _is_given(entry: Any) -> bool:
    """Tell whether an input has a value of its own."""
    if isinstance(entry, ModelParameter):
        return entry.value is not None or entry.default is not None or entry.value_from is not None
    places = entry.model_dump(exclude_none=True)
    return bool(entry.optional) or bool(places.keys() - {"name", "path", "archive", "mode", "optional", "description"})
