# SPDX-License-Identifier: Apache-2.0
"""A compiled pipeline: KFP's PipelineSpec and PlatformSpec as they stand in one YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

JsonObject = dict[str, Any]

PLATFORM: Final = "dataflow"
"""The platform under which components carry their marks."""
MARK_VARIABLE: Final = "ACCELCHAIN_MARK"
"""The variable of a container that says which of several marks is its own (``own_mark``)."""
_MARK_PREFIX: Final = "mark-"
ROOT: Final = "root"

_PARTS = {"pipelineInfo", "deploymentSpec", "components", "root"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CHANNEL: Final = "pipelinechannel--"
_OF_PODS: Final = (
    "accelerator_limit", "accelerator_type", "cpu_limit", "cpu_request", "memory_limit", "memory_request",
)  # fmt: skip


class TextError(Exception):
    """A file that is no compiled pipeline; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline; neither document is ever changed in place."""

    spec: JsonObject
    platforms: JsonObject | None = None
    """The second document, as KFP writes it: ``{"platforms": {...}}``."""
    header: str = ""
    """Comments above the first document: KFP reads the description from them."""

    @property
    def name(self) -> str:
        """Its name."""
        return str((self.spec.get("pipelineInfo") or {}).get("name") or "pipeline")

    @property
    def marks(self) -> Mapping[str, JsonObject]:
        """Marks by executor."""
        executors = (self.spec.get("deploymentSpec") or {}).get("executors") or {}
        found = configs_of(self.platforms, PLATFORM)
        own = {label: own_mark(mark, executors.get(label) or {}) for label, mark in found.items()}
        return {label: mark for label, mark in own.items() if mark is not None}


def is_pipeline(value: Any) -> bool:
    """Tell whether a document is a PipelineSpec."""
    return (
        isinstance(value, dict)
        and str(value.get("schemaVersion", "")).startswith("2.")
        and isinstance(value.get("root"), dict)
        and isinstance(value.get("pipelineInfo"), dict)
    )


def documents(text: str) -> list[Any]:
    """Return what a file holds; nothing where it is no YAML."""
    try:
        return [value for value in yaml.load_all(text, Loader=_Loader) if value is not None]
    except (yaml.YAMLError, ValueError, RecursionError):
        return []


def read(text: str, source: str) -> Pipeline:
    """Return what a file holds.

    Args:
        text: YAML or JSON, as KFP's compiler writes it.
        source: the file's name, for messages.

    Raises:
        TextError: it is no YAML, or no compiled pipeline.
    """
    try:
        documents = [value for value in yaml.load_all(text, Loader=_Loader) if value is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise TextError(f"{where}: this is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TextError(f"{source}: this is no YAML: {' '.join(str(error).split())}.") from None
    if not documents:
        raise TextError(f"{source}: the file is empty: give a pipeline that KFP compiled.")
    spec, *others = documents
    if not is_pipeline(spec):
        raise TextError(f"{source}: this is no compiled pipeline (schemaVersion 2): compile it with kfp.compiler.")
    if len(others) > 1 or (others and not _is_platforms(others[0])):
        raise TextError(f"{source}: what follows the pipeline is no platform configuration: one pipeline a file.")
    if wrong := next(_malformed(spec), None):
        raise TextError(f"{source}: {wrong}: compile the pipeline anew.")
    return Pipeline(spec, others[0] if others else None, _header(text))


def write(pipeline: Pipeline) -> str:
    """Return a file's text, in the form of KFP's compiler."""
    text = pipeline.header + _dump(pipeline.spec)
    return f"{text}---\n{_dump(pipeline.platforms)}" if pipeline.platforms else text


def dags(spec: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield every component that is a graph of tasks: its name (``root`` for the pipeline itself) and itself."""
    if "dag" in spec[ROOT]:
        yield ROOT, spec[ROOT]
    for name, component in sorted((spec.get("components") or {}).items()):
        if "dag" in component:
            yield name, component


def tasks_of(component: JsonObject) -> dict[str, JsonObject]:
    """Return a graph's tasks by name."""
    found: dict[str, JsonObject] = component["dag"].get("tasks") or {}
    return found


def configs_of(platforms: JsonObject | None, name: str) -> Mapping[str, JsonObject]:
    """Return what a platform says, by executor."""
    platform = ((platforms or {}).get("platforms") or {}).get(name) or {}
    found = (platform.get("deploymentSpec") or {}).get("executors")
    return found if isinstance(found, dict) else {}


def own_mark(mark: Any, executor: JsonObject) -> Any:
    """Return the mark that is an executor's own; None where none of them is.

    KFP joins nested pipelines executor by executor, and each time adds all that their platforms say: those whose label
    has not been changed yet lie upon another pipeline's of the same label (kfp 2.17,
    compiler/pipeline_spec_builder.py: _merge_deployment_spec). Marks therefore have keys of their own there, so that
    all of them survive, and the container tells the key of its own.
    """
    if not isinstance(mark, dict) or not any(key.startswith(_MARK_PREFIX) for key in mark):
        return mark
    variables = (executor.get("container") or {}).get("env") or ()
    return next((mark.get(v.get("value")) for v in variables if v.get("name") == MARK_VARIABLE), None)


def _is_platforms(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("platforms"), dict)


def _malformed(spec: JsonObject) -> Iterator[str]:
    """Yield what would make everything else stumble."""
    components = spec.get("components") or {}
    executors = (spec.get("deploymentSpec") or {}).get("executors") or {}
    if not isinstance(components, dict) or not isinstance(executors, dict):
        yield "components and deploymentSpec.executors are mappings"
        return
    for name, component in [(ROOT, spec[ROOT]), *components.items()]:
        if not isinstance(component, dict):
            yield f"component {name} is no mapping"
            continue
        tasks = (component.get("dag") or {}).get("tasks") or {}
        if not isinstance(component.get("dag") or {}, dict) or not isinstance(tasks, dict):
            yield f"component {name}: dag.tasks is no mapping"
            continue
        for task, value in tasks.items():
            reference = (value or {}).get("componentRef") if isinstance(value, dict) else None
            if not isinstance(reference, dict) or reference.get("name") not in components:
                yield f"component {name}, task {task}: its componentRef names no component"
        label = component.get("executorLabel")
        if label is not None and label not in executors:
            yield f"component {name}: there is no executor {label}"


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines(keepends=True):
        if not line.startswith("#"):
            break
        lines.append(line)
    return "".join(lines)


def _dump(document: JsonObject) -> str:
    text: str = yaml.safe_dump(document, sort_keys=True)
    return text


def is_undeclared(name: str) -> bool:
    """Tell whether an input is one that KFP gives a task though its component declares none of the name.

    What texts of other inputs hold (``uri=f"s3://bucket/{name}"``), and settings of its pod that are parameters.
    """
    return name.startswith(_CHANNEL) or name in _OF_PODS
