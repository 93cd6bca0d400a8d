# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` and ``accelchain unfuse``: chains of ordinary steps become one DataFlow each, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from accelchain.argo.core.documents import is_argo
from accelchain.argo.fuse import Entry, Functions, FusedError, Piece, is_fused, pieces, restored
from accelchain.argo.fuse import fuse as fuse_document
from accelchain.argo.lint import Document, DuplicateKeyError, TextError, load
from accelchain.cli.argo_text import read_text, to_yaml
from accelchain.cli.connect import Target, run_in
from accelchain.cli.errors import Refused
from accelchain.cli.files import write_whole
from accelchain.cli.known import Known, known_here
from accelchain.cli.terminal import out, tell
from accelchain.cli.validate_argo import known_at
from accelchain.cli.where import where_options


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of the file, with what it holds."""

    piece: Piece
    documents: Sequence[Document]
    fault: str = ""
    """Why it is left as it is: Argo reads what we can't be sure of."""


@click.command("fuse")
@click.argument("file")
@click.option("-o", "--output", default="-", show_default=True, help="File to write; - for standard output.")
@click.option("--report", "report", metavar="FILE", help="Write what became of each step, and why, as JSON.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@where_options
def fuse(
    file: str,
    output: str,
    report: str | None,
    functions: tuple[str, ...],
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Rewrite an Argo workflow: each chain of steps that are functions becomes one DataFlow.

    A step is a function where its template's annotation accelchain.io/function says so, or where a FunctionType
    replaces its image. Everything else stays as it is, and --report says why.
    """
    if functions and (kubeconfig or context):
        raise Refused("--functions: a cluster runs what its administrator installed; leave it out.")
    _refuse_same(output, report)
    parts = _read(file)
    known = _known(functions, kubeconfig, context, namespace)
    catalogue = Functions(known.types)
    entries: list[Entry] = []

    def change(document: Document, title: str) -> Any:
        found = fuse_document(document.value, title, catalogue)
        entries.extend(found.entries)
        return found.document if found.changed else None

    text = _rewritten(file, parts, change)
    if report is not None:
        _write(report, "--report", json.dumps({"steps": [entry.to_dict() for entry in entries]}, indent=2) + "\n")
    _write(output, "-o", text)
    _tell_faults(parts)
    if not any(is_argo(document.value) for part in parts for document in part.documents):
        tell(f"{file}: there is no workflow of Argo's in it that could be rewritten.")
        return
    _tell(file, entries)


@click.command("unfuse")
@click.argument("file")
@click.option("-o", "--output", default="-", show_default=True, help="File to write; - for standard output.")
def unfuse(file: str, output: str) -> None:
    """Take a fused workflow back to what it was before; what was changed beside the fused parts stays changed."""
    parts = _read(file)

    def change(document: Document, _: str) -> Any:
        return restored(document.value) if is_fused(document.value) else None

    _write(output, "-o", _rewritten(file, parts, change))
    _tell_faults(parts)
    if not any(is_fused(document.value) for part in parts for document in part.documents):
        tell(f"{file}: nothing in it was fused; it is left as it is.")


def _tell_faults(parts: Sequence[_Part]) -> None:
    for part in parts:
        if part.fault:
            tell(f"{part.fault} It is left as it is.")


def _read(file: str) -> list[_Part]:
    """Return the parts of a file.

    Raises:
        Refused: it can't be read, is no YAML, or holds nothing of Argo's.
    """
    text, parts, number = read_text(file), [], 0
    try:
        for piece in pieces(text):
            whole = "\n" * piece.line + piece.text  # so that errors name the file's own line
            try:
                documents = load(whole, file)
            except DuplicateKeyError as error:
                # Argo takes one of the two, so it is no error of the file, and nothing that may be rewritten.
                parts.append(_Part(piece, [], str(error)))
                number += 1
                continue
            parts.append(_Part(piece, [Document(file, number + d.number, d.value) for d in documents]))
            number += len(documents)
        if not parts:
            load(text, file)  # says that it is empty
    except TextError as error:
        raise Refused(str(error)) from None
    for part in parts:
        for document in part.documents:
            if not isinstance(document.value, dict) or not document.value.get("kind"):
                raise Refused(f"{file}: {document.title} is no Kubernetes object: give workflows of Argo's.")
    return parts


def _known(functions: Sequence[str], kubeconfig: str | None, context: str | None, namespace: str | None) -> Known:
    if not (kubeconfig or context):
        return known_here(functions)
    target = Target.find(kubeconfig, context, namespace)
    known: Known = run_in(target, known_at(target))
    return known


def _rewritten(file: str, parts: Sequence[_Part], change: Callable[[Document, str], Any]) -> str:
    """Return the file's text with documents changed; ``change`` returns None for one that stays as it is."""
    return "".join(_piece(file, part, change) for part in parts)


def _piece(file: str, part: _Part, change: Callable[[Document, str], Any]) -> str:
    values, changed = [], False
    for document in part.documents:
        value = None
        if is_argo(document.value):
            try:
                value = change(document, document.title)
            except FusedError as error:
                raise Refused(f"{file}: {document.title}: {error}") from None
        changed = changed or value is not None
        values.append(document.value if value is None else value)
    if not changed:
        return part.piece.text
    header = part.piece.header
    written = to_yaml(values)
    # comments before a document stay; a mark among them is the document's own
    marked = any(line.startswith("---") for line in header.splitlines())
    return header + (written.removeprefix("---\n") if marked or part.piece.line == 0 else written)


def _refuse_same(output: str, report: str | None) -> None:
    if report is not None and report == output:
        raise Refused("--report and -o are the same file: give two.")


def _write(path: str, option: str, text: str) -> None:
    if path == "-":
        out(text.rstrip("\n"))
        return
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise Refused(f"{option} {path}: {error.strerror}; give a file that can be written.") from None


def _tell(file: str, entries: Sequence[Entry]) -> None:
    for line in _lines(entries):
        tell(line)
    counts = {
        outcome: sum(entry.outcome == outcome for entry in entries) for outcome in ("fused", "re-targeted", "kept")
    }
    told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "none"
    tell(f"{file}: steps: {told}.")


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        rule = f" (rule {entry.rule})" if entry.rule is not None else ""
        yield f"{entry.document} {entry.template}.{entry.step}: {entry.outcome}{rule}: {entry.sentence}"
