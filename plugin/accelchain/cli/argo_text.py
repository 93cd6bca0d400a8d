# SPDX-License-Identifier: Apache-2.0
"""Texts of Argo's documents: read from a file, and written so that Argo and kubectl read what was meant."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from accelchain.cli.errors import Refused

_BOOLEANS = frozenset("yYnN")
"""Text for Python's YAML, booleans for Go's."""
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
"""Text for Python's YAML in part, numbers for Go's."""


def read_text(file: str) -> str:
    """Return a file's text; ``-`` is standard input.

    Raises:
        Refused: it can't be read, or is no text.
    """
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode("utf-8")
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}; give the path of a YAML file.") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: this is no text file; give the path of a YAML file.") from None


def to_yaml(documents: Sequence[Any]) -> str:
    """Return documents as one YAML text."""
    return "".join(
        f"---\n{yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)}"
        for document in documents
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if text in _BOOLEANS or _NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
