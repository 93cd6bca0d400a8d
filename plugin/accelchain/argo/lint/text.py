# SPDX-License-Identifier: Apache-2.0
"""YAML files with documents of Argo's and of ours: what each holds, and what it is called in messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelchain.argo.core.documents import is_list
from accelchain.argo.core.yaml_text import UnsureError, read


class TextError(Exception):
    """A file that is no YAML, or holds what Argo refuses; the message says where."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    source: str
    """The file's name."""
    number: int
    """1 for the first of the file."""
    value: Any

    @property
    def title(self) -> str:
        """``Workflow/detect``, or ``document 2`` where it has no name."""
        value = self.value if isinstance(self.value, dict) else {}
        meta = value.get("metadata")
        name = (meta.get("name") or meta.get("generateName")) if isinstance(meta, dict) else None
        kind = value.get("kind")
        return f"{kind}/{name}" if kind and name else f"document {self.number}"


def load(text: str, source: str) -> list[Document]:
    """Return the documents of a text, in its order; lists of kubectl (``kind: List``) as what they hold.

    Args:
        text: YAML or JSON; empty documents are skipped.
        source: the file's name, for messages.

    Raises:
        TextError: it is no YAML, holds what Argo refuses, or nothing.
    """
    try:
        parsed = read(text)
    except UnsureError as error:
        raise TextError(error.of(source)) from None
    values = [item for value in parsed for item in (value["items"] if is_list(value) else [value])]
    if not values:
        raise TextError(f"{source}: the file is empty: give a Workflow or a DataFlow.")
    return [Document(source, i, value) for i, value in enumerate(values, start=1)]
