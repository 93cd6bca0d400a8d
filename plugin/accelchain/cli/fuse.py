# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` and ``accelchain unfuse``: chains of ordinary steps become one DataFlow each, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from accelchain.argo.core.documents import is_argo, is_list
from accelchain.argo.core.yaml_text import BrokenError, UnsureError, read, write
from accelchain.argo.fuse import Entry, Functions, FusedError, Piece, is_fused, pieces, restored
from accelchain.argo.fuse import fuse as fuse_document
from accelchain.argo.lint import Document, TextError, load
from accelchain.cli.argo_text import read_text, write_text
from accelchain.cli.connect import Target, run_in
from accelchain.cli.errors import Refused
from accelchain.cli.fuse_kfp import fuse_pipeline, holds_pipeline
from accelchain.cli.known import Known, known_here
from accelchain.cli.terminal import tell
from accelchain.cli.validate_argo import known_at
from accelchain.cli.where import where_options
from accelchain.kfp.core import DEFAULT_IMAGE


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of the file, with what it holds."""

    piece: Piece
    values: Sequence[Any]
    """Documents; a list of kubectl's is one."""
    number: int
    """Of its first document in the file."""
    fault: str = ""
    """Why it is left as it is: Argo reads what we can't be sure of."""

    def documents(self, file: str) -> Iterator[Document]:
        """Yield documents; of kubectl's lists what they hold."""
        flat = [item for value in self.values for item in (value["items"] if is_list(value) else [value])]
        return (Document(file, number, value) for number, value in enumerate(flat, start=self.number))


@click.command("fuse")
@click.argument("file")
@click.option("-o", "--output", default="-", show_default=True, help="File to write; - for standard output.")
@click.option("--report", "report", metavar="FILE", help="Write what became of each step, and why, as JSON.")
@click.option("--functions", multiple=True, metavar="DIR", help="Folder with functions of your own.")
@click.option("--image", default=DEFAULT_IMAGE, show_default=True, help="Launcher's image, for Kubeflow's pipelines.")
@where_options
def fuse(
    file: str,
    output: str,
    report: str | None,
    functions: tuple[str, ...],
    image: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Rewrite an Argo workflow or a compiled Kubeflow pipeline: each chain of steps becomes one DataFlow.

    A step is a function where its template's annotation accelchain.io/function says so, or where a FunctionType
    replaces its image. Everything else stays as it is, and --report says why.
    """
    if functions and (kubeconfig or context):
        raise Refused("--functions: a cluster runs what its administrator installed; leave it out.")
    _refuse_same(output, report)
    text = read_text(file)
    if holds_pipeline(text):
        fuse_pipeline(text, file, output, report, _known(functions, kubeconfig, context, namespace).types, image)
        return
    parts = _read(file, text)
    known = _known(functions, kubeconfig, context, namespace)
    catalogue = Functions(known.types)
    entries: list[Entry] = []

    def change(document: Document) -> Any:
        found = fuse_document(document.value, document.title, catalogue)
        entries.extend(found.entries)
        return found.document if found.changed else document.value

    rewritten = _rewritten(file, parts, change)
    if report is not None:
        write_text(report, "--report", json.dumps({"steps": [entry.to_dict() for entry in entries]}, indent=2) + "\n")
    write_text(output, "-o", rewritten)
    _tell_faults(parts)
    if not any(part.fault or any(is_argo(document.value) for document in part.documents(file)) for part in parts):
        tell(f"{file}: there is no workflow of Argo's in it that could be rewritten.")
        return
    _tell(file, entries)


@click.command("unfuse")
@click.argument("file")
@click.option("-o", "--output", default="-", show_default=True, help="File to write; - for standard output.")
def unfuse(file: str, output: str) -> None:
    """Take a fused workflow back to what it was before; what was changed beside the fused parts stays changed."""
    parts = _read(file, read_text(file))

    def change(document: Document) -> Any:
        return restored(document.value) if is_fused(document.value) else document.value

    write_text(output, "-o", _rewritten(file, parts, change))
    _tell_faults(parts)
    if not any(is_fused(document.value) for part in parts for document in part.documents(file)):
        tell(f"{file}: nothing in it was fused; it is left as it is.")


def _tell_faults(parts: Sequence[_Part]) -> None:
    for part in parts:
        if part.fault:
            tell(f"{part.fault} It is left as it is.")


def _read(file: str, text: str) -> list[_Part]:
    """Return the parts of a file.

    Raises:
        Refused: it can't be read, is no YAML, or holds nothing of Argo's.
    """
    parts: list[_Part] = []
    number = 1
    try:
        for piece in pieces(text):
            part = _part(file, piece, number)
            parts.append(part)
            number += 1 if part.fault else len(list(part.documents(file)))
        if not parts:
            load(text, file)  # says that it is empty
    except TextError as error:
        raise Refused(str(error)) from None
    for part in parts:
        for document in part.documents(file):
            if not isinstance(document.value, dict) or not document.value.get("kind"):
                raise Refused(f"{file}: {document.title} is neither a workflow of Argo's nor a pipeline of KFP's.")
    return parts


def _part(file: str, piece: Piece, number: int) -> _Part:
    """Return a part of a file; what Argo would read otherwise than us is no error of the file, and is left as it is.

    Raises:
        TextError: it is no YAML.
    """
    whole = "\n" * piece.line + piece.text  # so that errors name the file's own line
    try:
        return _Part(piece, read(whole), number)
    except BrokenError as error:
        raise TextError(error.of(file)) from None
    except UnsureError as error:
        return _Part(piece, [], number, error.of(file))


def _known(functions: Sequence[str], kubeconfig: str | None, context: str | None, namespace: str | None) -> Known:
    if not (kubeconfig or context):
        return known_here(functions)
    target = Target.find(kubeconfig, context, namespace)
    known: Known = run_in(target, known_at(target))
    return known


def _rewritten(file: str, parts: Sequence[_Part], change: Callable[[Document], Any]) -> str:
    """Return the file's text with documents changed; ``change`` returns the same object for one that stays."""
    return "".join(_piece(file, part, change) for part in parts)


def _piece(file: str, part: _Part, change: Callable[[Document], Any]) -> str:
    new = iter([_changed(file, document, change) for document in part.documents(file)])
    values = [_put(value, new) for value in part.values]
    if all(value is old for value, old in zip(values, part.values, strict=True)):
        return part.piece.text
    header = part.piece.header
    written = write(values)
    # comments before a document stay; a mark among them is the document's own
    marked = any(line.startswith("---") for line in header.splitlines())
    return header + (written.removeprefix("---\n") if marked or part.piece.line == 0 else written)


def _changed(file: str, document: Document, change: Callable[[Document], Any]) -> Any:
    if not is_argo(document.value):
        return document.value
    try:
        return change(document)
    except FusedError as error:
        raise Refused(f"{file}: {document.title}: {error}") from None


def _put(value: Any, new: Iterator[Any]) -> Any:
    """Return the next value of ``new``; for a list of kubectl's the list with the next ones."""
    if not is_list(value):
        return next(new)
    items = [next(new) for _ in value["items"]]
    same = all(item is old for item, old in zip(items, value["items"], strict=True))
    return value if same else value | {"items": items}


def _refuse_same(output: str, report: str | None) -> None:
    if report is not None and report == output:
        raise Refused("--report and -o are the same file: give two.")


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
