# SPDX-License-Identifier: Apache-2.0
"""``accelchain validate`` where Argo's documents are among the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelchain.argo.core.documents import is_argo
from accelchain.argo.lint import Document, Report, TextError, lint, load
from accelchain.argo.lint import Known as Definitions
from accelchain.cli.argo_text import read_text
from accelchain.cli.connect import Target, run_in
from accelchain.cli.errors import Refused
from accelchain.cli.inputs import absolute
from accelchain.cli.known import Known, known_here, known_in
from accelchain.cli.terminal import out, tell


def read_documents(files: Sequence[str]) -> list[Document]:
    """Return the documents of all files.

    Raises:
        Refused: with one sentence for every file that can't be read.
    """
    documents: list[Document] = []
    problems = []
    for file in files:
        try:
            documents += load(read_text(file), file)
        except TextError as error:
            problems.append(str(error))
    if problems:
        raise Refused("\nError: ".join(problems))
    return documents


def holds_argo(documents: Sequence[Document]) -> bool:
    """Tell whether one of the documents is Argo's."""
    return any(is_argo(document.value) for document in documents)


def validate_documents(documents: Sequence[Document], functions: Sequence[str], target: Target | None) -> None:
    """Check documents of Argo's and of ours together, and say what was found.

    Raises:
        Refused: with one sentence for everything that is wrong.
    """
    known: Known = run_in(target, known_at(target)) if target else known_here(functions)
    _make_absolute(documents)
    report = lint(
        documents,
        Definitions(
            types=known.types,
            chains={chain.metadata.name: chain for chain in known.chains},
            connection_types={type_.metadata.name: type_ for type_ in known.connection_types},
            strategies={strategy.metadata.name: strategy for strategy in known.strategies},
            complete=target is not None,
        ),
    )
    for warning in report.warnings:
        tell(f"Warning: {warning}")
    if report.problems:
        raise Refused("\nError: ".join(map(str, report.problems)))
    out(_summary(documents, report))


async def known_at(target: Target) -> Known:
    """Return what the namespace of a cluster knows."""
    async with target.connected() as client:
        return await known_in(client, target.namespace)


def _make_absolute(documents: Sequence[Document]) -> None:
    """Count paths in DataFlows from the folder of their file, as ``accelchain run`` does."""
    for document in documents:
        value = document.value
        if not isinstance(value, dict) or value.get("kind") != "DataFlow" or not isinstance(value.get("spec"), dict):
            continue
        base = Path.cwd() if document.source == "-" else Path(document.source).resolve().parent
        for side in ("inputs", "outputs"):
            addresses = value["spec"].get(side)
            for name, address in addresses.items() if isinstance(addresses, dict) else ():
                if isinstance(address, dict) and isinstance(address.get("uri"), str):
                    address["uri"] = absolute(address["uri"], base, f"{document.source}: {name}")


def _summary(documents: Sequence[Document], report: Report) -> str:
    files = ", ".join(dict.fromkeys(document.source for document in documents))
    counts = [f"{report.steps} step{'' if report.steps == 1 else 's'} of accelchain"]
    if report.resources:
        counts.append(f"{report.resources} resource{'' if report.resources == 1 else 's'}")
    return f"{files}: {' and '.join(counts)}, valid."
