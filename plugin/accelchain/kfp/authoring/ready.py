# SPDX-License-Identifier: Apache-2.0
"""Components that are a function as it is: the interface comes from its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import kfp
import yaml
from kfp import components

from accelchain.kfp.authoring.accelerated import accelerated
from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.known import Folder, Manifest, function_name, manifest_at, manifests
from accelchain.kfp.authoring.literal import Scalar
from accelchain.kfp.authoring.types import Detections, Frames

if TYPE_CHECKING:
    from accelchain.kfp.authoring.types import Component

WORKER_IMAGE: Final = "localhost/accelchain-worker:dev"
"""Holds ``python3 -m accelchain.kfp.step`` and all that functions need."""

_ADDRESSES = ("uri-input", "uri-output")
_ENDINGS = {"encode-video": ".mp4", "write-detections": ".jsonl"}
"""Endings of files by which a sink, or who reads them, knows what they are."""
_TYPES = {"integer": "NUMBER_INTEGER", "number": "NUMBER_DOUBLE", "string": "STRING", "boolean": "BOOLEAN"}
_ARTIFACTS: dict[str, Any] = {"frames": Frames, "detections": Detections}
_ANY = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}


def component_of(
    function: str | Mapping[str, Any] | Path,
    functions: Sequence[Folder] = (),
    *,
    name: str | None = None,
    addresses: Literal["artifacts", "parameters"] = "artifacts",
    names: Mapping[str, str] | None = None,
    results: Mapping[str, str] | None = None,
    defaults: Mapping[str, Scalar] | None = None,
    image: str = WORKER_IMAGE,
) -> Component[...]:
    """Return a function as a component, marked: ports are artifacts, parameters are parameters.

    It runs as a pod of the worker's image, and by ``kfp.local`` with ``SubprocessRunner(use_venv=False)``; a function
    of your own must be installed there too (an image made from the worker's; ``ACCELCHAIN_FUNCTIONS`` on a laptop).

    Args:
        function: name (``filter-resize`` or ``filter-resize@1.0.0``), a FunctionType as a dict, or the path
            of its manifest or folder.
        functions: folders with functions of your own.
        name: of the component; the function's where None.
        addresses: of sources and sinks: ``artifacts`` of KFP's, or ``parameters``, which take any address (s3, http).
        names: function's name of a port, parameter or address: the component's name for it, where they differ.
        results: the component's output parameter: what the function tells as a whole number, such as ``frames``.
        defaults: function's parameter: what a task takes that is given none, in place of the manifest's default. Whole
            numbers that may stay away and have no default are left out of the component: ``kfp.local`` can't call it
            without them.
        image: of the pod.

    Raises:
        AuthoringError: there is no such function, or two inputs or outputs have one name.
    """
    manifest = _find(function, functions)
    manifest = _with_defaults(manifest, defaults or {})
    made = _Interface(manifest, addresses == "artifacts", dict(names or {}), dict(results or {}))
    title = name or function_name(manifest)
    text = yaml.safe_dump(made.pipeline(title, image), sort_keys=True)
    component = components.load_component_from_text(text)
    component.description = component.component_spec.description = manifest["spec"].get("description") or None
    return accelerated(function_name(manifest), **made.mark())(component)


class _Interface:
    """The component's inputs and outputs, and which of the function's they are."""

    def __init__(self, manifest: Manifest, as_artifacts: bool, names: dict[str, str], results: dict[str, str]) -> None:
        spec = manifest["spec"]
        self._function, self._results = function_name(manifest), results
        self._where, self._names = f"function '{self._function}'", names
        self._inputs: dict[str, dict[str, Any]] = {"parameters": {}, "artifacts": {}}
        self._outputs: dict[str, dict[str, Any]] = {"parameters": {}, "artifacts": {}}
        self._ports: dict[str, dict[str, str]] = {"inputs": {}, "outputs": {}}
        self._parameters: dict[str, str] = {}
        self._addresses: dict[str, dict[str, str]] = {}
        known = [d["name"] for kind in ("inputs", "outputs", "parameters") for d in spec.get(kind) or ()]
        if unknown := next((name for name in names if name not in known), None):
            # Here, since it brings models along that take half a second to import.
            from accelchain.chain.problems import choose

            what = f"names: the function has no port or parameter '{unknown}'"
            raise AuthoringError(f"{self._where}: {what}: {choose(unknown, known)}")
        for side, defined in (("inputs", self._inputs), ("outputs", self._outputs)):
            for port in spec.get(side) or ():
                own = self._own(port["name"])
                self._ports[side][port["name"]] = own
                self._put(defined, "artifacts", own, _artifact(port))
        for parameter in spec.get("parameters") or ():
            if not _is_unset(parameter):
                self._add(parameter, as_artifacts and parameter.get("format") in _ADDRESSES)
        for output in results:
            self._put(self._outputs, "parameters", output, {"parameterType": "NUMBER_INTEGER"})

    def _add(self, parameter: Mapping[str, Any], as_artifact: bool) -> None:
        name, own = parameter["name"], self._own(parameter["name"])
        if not as_artifact:
            if parameter.get("format") in _ADDRESSES:
                self._addresses[name] = {"inputParameter": own}
            else:
                self._parameters[name] = own
            self._put(self._inputs, "parameters", own, _parameter(parameter))
        elif parameter["format"] == "uri-input":
            self._addresses[name] = {"input": own}
            optional = {} if parameter.get("required") else {"isOptional": True}
            self._put(self._inputs, "artifacts", own, {"artifactType": _ANY} | optional)
        else:
            self._addresses[name] = {"output": own}
            self._put(self._outputs, "artifacts", own, {"artifactType": _ANY})

    def _own(self, name: str) -> str:
        return self._names.get(name, name.replace("-", "_"))

    def _put(self, side: dict[str, dict[str, Any]], kind: str, name: str, entry: dict[str, Any]) -> None:
        if name in side["parameters"] or name in side["artifacts"]:
            what = "inputs" if side is self._inputs else "outputs"
            raise AuthoringError(
                f"{self._where}: two {what} would be called {name!r}: call one of them otherwise, names={{…: '…'}}."
            )
        side[kind][name] = entry

    def mark(self) -> dict[str, Any]:
        """Return the arguments of ``accelerated``, written out."""
        return {
            "parameters": {name: {"input": own} for name, own in self._parameters.items()},
            "inputs": self._ports["inputs"],
            "outputs": self._ports["outputs"],
            "addresses": self._addresses,
            "results": self._results,
        }

    def pipeline(self, name: str, image: str) -> dict[str, Any]:
        """Return the component as KFP's IR."""
        ending = _ENDINGS.get(self._function)
        written = [place["output"] for place in self._addresses.values() if "output" in place]
        mapping = self.mark() | ({"endings": dict.fromkeys(written, ending)} if ending and written else {})
        given = {key: entries for key, entries in mapping.items() if entries}
        defined: dict[str, Any] = {}
        for key, side in (("inputDefinitions", self._inputs), ("outputDefinitions", self._outputs)):
            if kept := {kind: entries for kind, entries in side.items() if entries}:
                defined[key] = kept
        container = {
            "image": image,
            "command": ["python3", "-m", "accelchain.kfp.step", self._function],
            "args": [
                *("--executor-input", "{{$}}"),
                *("--map", json.dumps(given, separators=(",", ":"), sort_keys=True)),
                *("--compat", "kfp.dsl.executor_main"),  # the word that SubprocessRunner looks for
            ],
        }
        return {
            "components": {f"comp-{name}": {"executorLabel": f"exec-{name}", **defined}},
            "deploymentSpec": {"executors": {f"exec-{name}": {"container": container}}},
            "pipelineInfo": {"name": name},
            "root": _root(name, defined),
            "schemaVersion": "2.1.0",
            "sdkVersion": f"kfp-{kfp.__version__}",
        }


def _root(name: str, defined: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pipeline of this one task, as KFP writes a component that is compiled by itself."""
    inputs, outputs = defined.get("inputDefinitions", {}), defined.get("outputDefinitions", {})
    task: dict[str, Any] = {
        "cachingOptions": {"enableCache": True},
        "componentRef": {"name": f"comp-{name}"},
        "taskInfo": {"name": name},
    }
    handed = {kind: {key: {f"componentInput{kind[:-1].capitalize()}": key} for key in inputs[kind]} for kind in inputs}
    if handed:
        task["inputs"] = handed
    selected: dict[str, Any] = {}
    if artifacts := outputs.get("artifacts"):
        selected["artifacts"] = {
            key: {"artifactSelectors": [{"outputArtifactKey": key, "producerSubtask": name}]} for key in artifacts
        }
    if parameters := outputs.get("parameters"):
        selected["parameters"] = {
            key: {"valueFromParameter": {"outputParameterKey": key, "producerSubtask": name}} for key in parameters
        }
    dag: dict[str, Any] = {"tasks": {name: task}}
    return {"dag": dag | ({"outputs": selected} if selected else {}), **defined}


def _artifact(port: Mapping[str, Any]) -> dict[str, Any]:
    kind = _ARTIFACTS.get(port.get("type", "tensor"))
    title = {"schemaTitle": kind.schema_title, "schemaVersion": kind.schema_version} if kind else _ANY
    return {"artifactType": title} | ({"isOptional": True} if port.get("optional") else {})


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"parameterType": _TYPES[parameter.get("type", "string")]}
    if text := parameter.get("description"):
        entry["description"] = text
    if "default" in parameter:
        entry["defaultValue"] = parameter["default"]
    if not parameter.get("required"):
        entry["isOptional"] = True
    return entry


def _is_unset(parameter: Mapping[str, Any]) -> bool:
    """Tell whether a parameter may stay away in a way that ``kfp.local`` can't (it takes ``int`` of nothing)."""
    return not parameter.get("required") and "default" not in parameter and parameter.get("type") == "integer"


def _with_defaults(manifest: Manifest, defaults: Mapping[str, Scalar]) -> Manifest:
    declared = manifest["spec"].get("parameters") or ()
    if unknown := sorted(set(defaults) - {parameter["name"] for parameter in declared}):
        raise AuthoringError(
            f"function '{function_name(manifest)}' has no parameter {unknown[0]!r} that could have a default."
        )
    parameters = [
        {**parameter, "default": defaults[parameter["name"]], "required": False}
        if parameter["name"] in defaults
        else parameter
        for parameter in declared
    ]
    return manifest | {"spec": manifest["spec"] | {"parameters": parameters}}


def _find(function: str | Mapping[str, Any] | Path, folders: Sequence[Folder]) -> Manifest:
    if isinstance(function, Mapping):
        return dict(function)
    if isinstance(function, Path):
        return manifest_at(function)
    name, _, version = function.partition("@")
    known = manifests(folders)
    for manifest in known:
        if function_name(manifest) == name and version in ("", str(manifest["spec"].get("version", "1.0.0"))):
            return manifest
    there = ", ".join(dict.fromkeys(function_name(manifest) for manifest in known))
    raise AuthoringError(
        f"there is no function {function!r} here; there are {there}. Give functions=[DIR] for functions of your own."
    )
