# SPDX-License-Identifier: Apache-2.0
"""``compile`` and ``fused``: KFP's compiler with the pass behind it, which makes one task of each chain."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kfp import compiler, components

from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.known import Folder, types

if TYPE_CHECKING:
    from accelchain.kfp.authoring.types import Component
    from accelchain.kfp.core import Entry


def compile(
    pipeline_func: Any,
    package_path: str,
    pipeline_name: str | None = None,
    pipeline_display_name: str | None = None,
    pipeline_parameters: dict[str, Any] | None = None,
    type_check: bool = True,
    kubernetes_manifest_options: Any = None,
    kubernetes_manifest_format: bool = False,
    *,
    functions: Sequence[Folder] = (),
    image: str | None = None,
    report: str | Path | None = None,
    fuse: bool = True,
) -> tuple[Entry, ...]:
    """Compile a pipeline as ``kfp.compiler.Compiler().compile`` does, with one task for each chain.

    Args:
        pipeline_func: a pipeline or component of KFP's.
        package_path: the file to write.
        pipeline_name: as KFP's.
        pipeline_display_name: as KFP's.
        pipeline_parameters: as KFP's.
        type_check: as KFP's.
        kubernetes_manifest_options: as KFP's.
        kubernetes_manifest_format: as KFP's.
        functions: folders with functions of your own, beside those that are installed.
        image: of the launcher's pod; that of the operators where None.
        report: a file for what became of each task, and why, as JSON.
        fuse: whether to fuse; where False, the file is KFP's own.

    Returns:
        What became of each task that is a function; nothing where ``fuse`` is False.

    Raises:
        FuseError: a chain can't be one task; the sentences name task and remedy. Nothing is written.
        AuthoringError: functions can't be read, or the report can't be written.
    """
    overrides = {
        "pipeline_name": pipeline_name,
        "pipeline_display_name": pipeline_display_name,
        "pipeline_parameters": pipeline_parameters,
        "type_check": type_check,
    }
    manifest = (
        {"kubernetes_manifest_options": kubernetes_manifest_options, "kubernetes_manifest_format": True}
        if kubernetes_manifest_format
        else {}
    )
    if not fuse:
        compiler.Compiler().compile(pipeline_func, package_path, **overrides, **manifest)
        return ()
    text, entries, changed = _fuse(pipeline_func, overrides, functions, image)
    if changed:  # it has the overrides already; KFP's compiler writes it in whichever format is asked for
        name = next(yaml.safe_load_all(text))["pipelineInfo"]["name"]
        loaded = _load(text, pipeline_func)
        compiler.Compiler().compile(loaded, package_path, pipeline_name=name, type_check=type_check, **manifest)
    else:
        compiler.Compiler().compile(pipeline_func, package_path, **overrides, **manifest)
    if report is not None:
        _report(Path(report), entries)
    return entries


class Compiler:
    """In the place of ``kfp.compiler.Compiler``."""

    def compile(self, pipeline_func: Any, package_path: str, *args: Any, **kwargs: Any) -> None:
        """Compile, as the function ``compile`` does."""
        compile(pipeline_func, package_path, *args, **kwargs)


def fused(pipeline_func: Any, functions: Sequence[Folder] = (), *, image: str | None = None) -> Component[...]:
    """Return a pipeline with one task for each chain, as a component: ``fused(my_pipeline)(video=…)`` runs it locally.

    Args:
        pipeline_func: a pipeline of KFP's.
        functions: folders with functions of your own; where the chains run, ``ACCELCHAIN_FUNCTIONS`` names them.
        image: of the launcher's pod; that of the operators where None.

    Raises:
        FuseError: a chain can't be one task.
        AuthoringError: functions can't be read.
    """
    text, _, changed = _fuse(pipeline_func, {}, functions, image)
    made: Component[...] = _load(text, pipeline_func) if changed else pipeline_func
    return made


def _fuse(
    pipeline_func: Any, overrides: dict[str, Any], functions: Sequence[Folder], image: str | None
) -> tuple[str, tuple[Entry, ...], bool]:
    from accelchain.kfp import core  # here: it brings the models of the resources

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline_func, str(file), **overrides)
        text = file.read_text(encoding="utf-8")
    pipeline = core.read(text, str(getattr(pipeline_func, "name", "pipeline")))
    done = core.fuse(pipeline, types(functions), image=image or core.DEFAULT_IMAGE)
    return (core.write(done.pipeline) if done.changed else text), done.entries, done.changed


def _load(text: str, original: Any) -> Any:
    # KFP takes a pipeline that is called like one of its components for that component.
    documents = list(yaml.safe_load_all(text))
    name, taken = documents[0]["pipelineInfo"]["name"], documents[0].get("components") or {}
    if f"comp-{name}" in taken:
        while f"comp-{name}" in taken:
            name += "-pipeline"
        documents[0]["pipelineInfo"]["name"] = name
        text = yaml.safe_dump_all(documents)
    component = components.load_component_from_text(text)
    component.description = original.description  # KFP reads it from the YAML's comments, and not all of it
    return component


def _report(file: Path, entries: Sequence[Entry]) -> None:
    text = json.dumps({"steps": [entry.to_dict() for entry in entries]}, indent=2) + "\n"
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AuthoringError(f"report: {file} can't be written: {error.strerror}.") from None
