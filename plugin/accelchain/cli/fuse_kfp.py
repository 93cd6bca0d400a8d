# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` where the file is a pipeline of Kubeflow's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from accelchain.api import FunctionType
from accelchain.cli.argo_text import write_text
from accelchain.cli.errors import Refused
from accelchain.cli.terminal import tell
from accelchain.kfp import core

_MARK = re.compile(r"""["']?(pipelineInfo|pipelineSpec|schemaVersion)["']?\s*:""")
"""One of these keys stands in every file that is meant here, and in no workflow of Argo's."""


def holds_pipeline(text: str) -> bool:
    """Tell whether a file holds a compiled pipeline, alone, in a Kubernetes object, or among other things."""
    if not _MARK.search(text):
        return False
    return any(core.is_pipeline(value) or _is_manifest(value) for value in core.documents(text))


def fuse_pipeline(
    text: str, file: str, output: str, report: str | None, types: Sequence[FunctionType], image: str
) -> None:
    """Fuse a pipeline, write it, and say what became of its tasks; one that has nothing to fuse is written as it is.

    Args:
        text: what the file holds.
        file: its name, for messages.
        output: where the result goes, ``-`` for standard output.
        report: where the report goes, if anywhere.
        types: the functions that there are.
        image: of the launcher's container.

    Raises:
        Refused: it is no pipeline, something else is in the file, or a chain can't be one task.
    """
    if any(_is_manifest(value) for value in core.documents(text)):
        raise Refused(
            f"{file}: this is a pipeline as Kubernetes objects: give the file that KFP compiles without "
            "kubernetes_manifest_format, or let accelchain.kfp.compile write the objects."
        )
    try:
        pipeline = core.read(text, file)
        fused = core.fuse(pipeline, types, image=image)
    except core.TextError as error:
        raise Refused(str(error)) from None
    except core.FuseError as error:
        raise Refused("\nError: ".join(f"{file}: {problem}" for problem in error.problems)) from None
    if report is not None:
        steps = [entry.to_dict() for entry in fused.entries]
        write_text(report, "--report", json.dumps({"steps": steps}, indent=2) + "\n")
    write_text(output, "-o", core.write(fused.pipeline) if fused.changed else text)
    _tell(file, fused.entries)


def _tell(file: str, entries: Sequence[core.Entry]) -> None:
    for entry in entries:
        rule = f" (rule {entry.rule})" if entry.rule is not None else ""
        tell(f"{entry.document} {entry.dag}.{entry.task}: {entry.outcome}{rule}: {entry.sentence}")
    counts = {outcome: sum(entry.outcome == outcome for entry in entries) for outcome in ("fused", "kept")}
    told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)
    tell(f"{file}: tasks that are functions: {told or 'none'}.")


def _is_manifest(value: object) -> bool:
    """Tell whether a document is a PipelineVersion, a Kubernetes object that holds a pipeline."""
    if not isinstance(value, dict) or value.get("kind") != "PipelineVersion":
        return False
    return isinstance(value.get("spec"), dict) and core.is_pipeline(value["spec"].get("pipelineSpec"))
