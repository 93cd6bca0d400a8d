# SPDX-License-Identifier: Apache-2.0
"""The command line of a step, read against the function's manifest (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.registry import FunctionFolder

USAGE = (
    "accelchain step FUNCTION[@VERSION] [--PARAMETER VALUE]... [--input PORT=FILE]... [--output PORT=FILE]...\n"
    "                [--implementation NAME] [--device NAME]"
)
_WHOLE = re.compile(r"[+-]?\d+")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Step:
    """What a command line asks for."""

    function: FunctionFolder
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Path]
    """Files by port."""
    outputs: Mapping[str, Path]
    implementation: Mapping[str, Any]
    """Of the manifest."""
    device: str
    """``host``, ``cpu0``, …"""


def find(text: str, functions: Sequence[FunctionFolder]) -> FunctionFolder:
    """Return the function ``NAME`` or ``NAME@VERSION``.

    Raises:
        InputError: there is none.
    """
    name, _, version = text.partition("@")
    for function in functions:
        if function.name == name and version in ("", function.version):
            return function
    known = sorted({f"{function.name}@{function.version}" if version else function.name for function in functions})
    raise InputError(f"There is no function {text}; there are {', '.join(known)}.")


def parse(function: FunctionFolder, arguments: Sequence[str]) -> Step:
    """Read what follows the function's name.

    Raises:
        InputError: an argument is not understood, a port is unknown, missing or named twice.
    """
    declared = {str(each["name"]): each for each in function.parameters}
    ports = {"input": [p["name"] for p in function.inputs], "output": [p["name"] for p in function.outputs]}
    files: dict[str, dict[str, Path]] = {"input": {}, "output": {}}
    parameters: dict[str, Any] = {}
    others = {"implementation": "", "device": ""}
    for name, value in _options(arguments):
        if name in files:
            port, separator, file = value.partition("=")
            if not separator or not file:
                raise InputError(f"--{name} {value}: give PORT=FILE.")
            if port not in ports[name]:
                raise InputError(f"{function.name} has no {name} {port}; {_there(ports[name], name)}.")
            if port in files[name]:
                raise InputError(f"--{name} {port} is given twice.")
            files[name][port] = Path(file).absolute()
        elif name in declared:
            if name in parameters:
                raise InputError(f"--{name} is given twice.")
            parameters[name] = _value(declared[name], value, f"--{name}")
        elif name in others:
            others[name] = value
        else:
            raise InputError(f"{function.name} has no parameter {name}; {_there(list(declared), 'parameter')}.")
    for wanted in function.inputs:
        if wanted["name"] not in files["input"] and not wanted.get("optional"):
            raise InputError(f"{function.name} needs --input {wanted['name']}=FILE.")
    if function.outputs and not files["output"]:
        raise InputError(f"{function.name} needs --output {ports['output'][0]}=FILE, or its work is for nothing.")
    if len(set(files["output"].values())) < len(files["output"]):
        raise InputError("Two outputs have the same file: give each its own.")
    implementation = _implementation(function, others["implementation"], others["device"].rstrip("0123456789"))
    device = "host" if implementation["api"] == "host" else others["device"] or "cpu0"
    return Step(function, parameters, files["input"], files["output"], implementation, device)


def written(step: Step) -> list[Path]:
    """Return the local files that the step will write."""
    declared = {str(each["name"]): each for each in step.function.parameters}
    named = [Path(v) for n, v in step.parameters.items() if _is_written(declared[n]) and v.startswith("/")]
    return [*step.outputs.values(), *named]


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    left = list(arguments)
    while left:
        argument = left.pop(0)
        name, separator, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise InputError(f"{argument!r} is not understood: give --name value.")
        if not separator:
            if not left:
                raise InputError(f"--{name} has no value.")
            value = left.pop(0)
        yield name, value


def _value(declaration: Mapping[str, Any], text: str, option: str) -> Any:
    kind = declaration.get("type", "string")
    if kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "boolean" and text in _TRUTH:
        return _TRUTH[text]
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            pass
    elif kind == "string":
        is_file = str(declaration.get("format", "")).startswith("uri-") and ":" not in text
        return str(Path(text).absolute()) if is_file and text else text
    raise InputError(f"{option} is {text!r}; give a value of type {kind}.")


def _is_written(declaration: Mapping[str, Any]) -> bool:
    return declaration.get("format") == "uri-output"


def _implementation(function: FunctionFolder, name: str, device_type: str) -> Mapping[str, Any]:
    """Return the implementation of that name, or the manifest's first one for that type of device: it prefers it."""
    offered: list[dict[str, Any]] = function.spec["implementations"]
    for each in offered:
        types = each.get("deviceTypes", ["cpu"])
        if each["name"] == name or (not name and (device_type or "cpu") in (*types, each["api"])):
            return each
    if not name:
        raise InputError(
            f"{function.name} has no implementation for a {device_type or 'cpu'}: choose another --device."
        )
    raise InputError(
        f"{function.name} has no implementation {name}; {_there([e['name'] for e in offered], 'implementation')}."
    )


def _there(names: Sequence[str], what: str) -> str:
    return f"its {what}s are: {', '.join(names)}" if names else f"it has no {what}"
