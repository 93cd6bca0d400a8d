# SPDX-License-Identifier: Apache-2.0
"""Function types made for the components of a pipeline that knows nothing of functions, and marks that fit them."""

from __future__ import annotations

import copy
from typing import Any

from accelchain.api.function_type import FunctionType

JsonObject = dict[str, Any]
_FRAMES = {"type": "frames", "dtype": "uint8", "shape": ["height", "width", 3]}
_TYPES = {"NUMBER_INTEGER": "integer", "NUMBER_DOUBLE": "number", "BOOLEAN": "boolean", "STRING": "string"}


def function_type(
    name: str,
    *,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    parameters: list[JsonObject] | None = None,
) -> FunctionType:
    """Return a function whose ports are all frames."""
    role = "transform" if inputs and outputs else "sink" if inputs else "source"
    spec = {
        "role": role,
        "inputs": [{"name": port, **_FRAMES} for port in inputs or ()],
        "outputs": [{"name": port, **_FRAMES} for port in outputs or ()],
        "parameters": parameters or [],
        "implementations": [{"name": "host", "api": "host", "entrypoint": "host:Any"}],
    }
    metadata = {"name": name}
    made = {"apiVersion": "accelchain.io/v1alpha1", "kind": "FunctionType", "metadata": metadata, "spec": spec}
    return FunctionType.model_validate(made)


def address(name: str, side: str) -> JsonObject:
    """Return a parameter that is an address: ``input`` or ``output``."""
    return {"name": name, "type": "string", "format": f"uri-{side}", "required": True}


def fitting(
    label: str, component: JsonObject, fed: frozenset[str] = frozenset()
) -> tuple[FunctionType, JsonObject] | None:
    """Return a function for a component and the mark for it; None where no function could be like it.

    Artifacts are ports, and so are output parameters and ``fed``: input parameters that other tasks feed (handles of
    streams). One that has no port on a side reads from or writes to its first parameter of type STRING.
    """
    inputs, outputs = component.get("inputDefinitions", {}), component.get("outputDefinitions", {})
    given = inputs.get("parameters", {})
    scalars = {name: each for name, each in given.items() if each["parameterType"] in _TYPES and name not in fed}
    ports = {
        "inputs": [*inputs.get("artifacts", {}), *(name for name in given if name not in scalars)],
        "outputs": [*outputs.get("artifacts", {}), *outputs.get("parameters", {})],
    }
    mark: JsonObject = {"function": label, "parameters": {}, "addresses": {}}
    named = {side: [f"{side}{number}" for number, _ in enumerate(names)] for side, names in ports.items()}
    mark |= {side: dict(zip(named[side], names, strict=True)) for side, names in ports.items()}
    declared: list[JsonObject] = []
    texts = [name for name, each in scalars.items() if each["parameterType"] == "STRING"]
    for side in ("input", "output"):
        if not named[f"{side}s"] and texts:
            own = texts.pop(0)
            declared.append(address(f"{side}-uri", side))
            mark["addresses"][f"{side}-uri"] = {"inputParameter": own}
            del scalars[own]
    if not named["inputs"] and not named["outputs"]:
        return None
    for number, (name, each) in enumerate(scalars.items()):
        declared.append({"name": f"p{number}", "type": _TYPES[each["parameterType"]]})
        mark["parameters"][f"p{number}"] = {"input": name}
    made = function_type(label, inputs=named["inputs"], outputs=named["outputs"], parameters=declared)
    return made, {key: value for key, value in mark.items() if value}


def fed_by_tasks(spec: JsonObject) -> dict[str, frozenset[str]]:
    """Return input parameters that other tasks feed, by executor."""
    found: dict[str, set[str]] = {}
    for component in [spec["root"], *spec["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            for name, source in task.get("inputs", {}).get("parameters", {}).items():
                if label and "taskOutputParameter" in source:
                    found.setdefault(label, set()).add(name)
    return {label: frozenset(names) for label, names in found.items()}


def with_marks(platforms: JsonObject | None, marks: JsonObject) -> JsonObject:
    """Return the second document with these marks by executor."""
    found = copy.deepcopy(platforms) or {"platforms": {}}
    found["platforms"]["dataflow"] = {"deploymentSpec": {"executors": marks}}
    return found


TWO_CAMERAS_TYPES = (
    function_type("decode", outputs=["frames"], parameters=[address("video", "input")]),
    function_type("filter", inputs=["src"], outputs=["dst"], parameters=[{"name": "width", "type": "integer"}]),
    function_type(
        "infer",
        inputs=["src"],
        parameters=[
            {"name": "threshold", "type": "number"},
            {"name": "model", "type": "string", "format": "uri-input"},
            address("result", "output"),
        ],
    ),
)
"""Functions for the example with two cameras, whose tasks hand over handles (STRING)."""
TWO_CAMERAS_MARKS = {
    f"exec-{label}": {"function": function, "chain": {"name": "c1"}}
    for label, function in (("decode", "decode"), ("filter-resize", "filter"), ("infer", "infer"))
}
