# SPDX-License-Identifier: Apache-2.0
"""From a template to its function: by annotation, or by an image with its digest. Never by a tag."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from accelchain.api.function_type import FunctionType
from accelchain.api.parameter import ParameterDeclaration
from accelchain.argo.fuse.catalogue import Functions
from accelchain.argo.fuse.command import Command, CommandError, parse_command
from accelchain.argo.fuse.leaf import (
    EPHEMERAL,
    FUNCTION,
    IDEMPOTENT,
    PARAMETERS,
    PORTS,
    REMOTE,
    RESULTS,
    SIDE_EFFECTS,
    Leaf,
    named,
    notes_of,
    writes,
)
from accelchain.chain.problems import choose
from accelchain.chain.values import is_address

JsonObject = dict[str, Any]

_KINDS: Final = ("container", "script", "containerSet", "dag", "steps", "suspend", "resource", "data", "http", "plugin")
_PATH: Final = re.compile(r"\{\{\s*(inputs|outputs)\.artifacts\.([^\s{}]+)\.path\s*\}\}")


class UnmappedError(Exception):
    """A template that stays: the rule that keeps it, and a sentence without its end."""

    def __init__(self, rule: int, message: str) -> None:
        super().__init__(message)
        self.rule, self.message = rule, message


def map_template(template: JsonObject, functions: Functions) -> Leaf:
    """Return what a template is as a function.

    Args:
        template: with ``templateDefaults`` merged in.
        functions: what there is.

    Raises:
        UnmappedError: it is no function, or a part of it is nothing to the function.
    """
    kind = _kind(template)
    name, version = _function(template, kind, functions)
    type_ = functions.find(name, version)
    if isinstance(type_, str):
        raise UnmappedError(1, type_.removesuffix("."))
    notes = notes_of(template)
    command = _command(template[kind], template, kind, type_, notes)
    if command.function is not None and command.function != name:
        raise UnmappedError(1, f"its annotation says '{name}', and its command line '{command.function}'")
    parts = _Parts(template, type_, _json_of(notes, PORTS))
    parts.take(command, explicit=PARAMETERS in notes)
    return Leaf(
        type=type_,
        version=version,
        parameters=parts.parameters,
        inputs=parts.inputs,
        outputs=parts.outputs,
        reads=parts.reads,
        writes=parts.writes,
        results={key: str(value) for key, value in _json_of(notes, RESULTS).items()},
        ephemeral=frozenset(part.strip() for part in str(notes.get(EPHEMERAL, "")).split(",") if part.strip()),
        idempotent=_is_true(notes, IDEMPOTENT),
        side_effects=_is_true(notes, SIDE_EFFECTS),
        unsound=functions.fault(type_),
    )


def _kind(template: JsonObject) -> str:
    kinds = [kind for kind in _KINDS if template.get(kind) is not None]
    if kinds == ["plugin"] and isinstance(template["plugin"], dict) and "accelchain" in template["plugin"]:
        raise UnmappedError(1, "it is a DataFlow already")
    if kinds not in (["container"], ["script"]) or not isinstance(template[kinds[0]], dict):
        raise UnmappedError(1, f"its template is no container but {' and '.join(kinds) or 'nothing that is known'}")
    return kinds[0]


def _function(template: JsonObject, kind: str, functions: Functions) -> tuple[str, str | None]:
    given = notes_of(template).get(FUNCTION)
    if isinstance(given, str) and given.strip():
        name, _, version = given.strip().partition("@")
        return name, version or None
    image = str(template[kind].get("image", ""))
    component = image if "@sha256:" in image else str(template.get("name", "")) if kind == "script" else ""
    if component and (name := functions.replacing(component) or ""):
        return name, None
    raise UnmappedError(1, f"nobody says which function it is: annotate its template with {FUNCTION}")


def _command(container: JsonObject, template: JsonObject, kind: str, type_: FunctionType, notes: JsonObject) -> Command:
    if PARAMETERS in notes:
        given = _json_of(notes, PARAMETERS)
        return Command(None, {key: _text(value) for key, value in given.items()})
    if kind == "script":  # its text is replaced as a whole: what goes into it are the template's own parameters
        known = {declaration.name for declaration in type_.spec.parameters}
        given = named(template, "inputs", "parameters")
        if unknown := [name for name in given if name not in known]:
            raise UnmappedError(
                13, f"its parameter '{unknown[0]}' is none of {type_.function}: {_choose(unknown[0], known)}"
            )
        return Command(None, {name: f"{{{{inputs.parameters.{name}}}}}" for name in given})
    words = {field: container.get(field) or [] for field in ("command", "args")}
    for field, listed in words.items():
        if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
            raise UnmappedError(13, f"its {field} is no list of texts")
    try:
        return parse_command(words["command"], words["args"])
    except CommandError as error:
        raise UnmappedError(13, str(error)) from None


class _Parts:
    """Sorts parameters and artifacts; what is left over keeps the template as it is."""

    def __init__(self, template: JsonObject, type_: FunctionType, ports: Mapping[str, Any]) -> None:
        self.type, self.ports = type_, ports
        self.declared = {declaration.name: declaration for declaration in type_.spec.parameters}
        self.artifacts = {side: named(template, side, "artifacts") for side in ("inputs", "outputs")}
        self.parameters: dict[str, str] = {}
        self.inputs: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.reads: dict[str, str] = {}
        self.writes: dict[str, str] = {}

    def take(self, command: Command, explicit: bool) -> None:
        for name, value in command.parameters.items():
            if name not in self.declared:
                raise UnmappedError(
                    13, f"{self.type.function} has no parameter '{name}': {_choose(name, self.declared)}"
                )
            self._take_parameter(self.declared[name], value, explicit)
        for side, given in (("inputs", command.inputs), ("outputs", command.outputs)):
            for port, file in given.items():
                self._put(side, port, self._artifact(side, file, f"--{side[:-1]} {port}"))
        for name, artifact in self.ports.items():
            self._take_port(name, str(artifact))
        for side in ("inputs", "outputs"):
            self._take_rest(side)

    def _take_parameter(self, declaration: ParameterDeclaration, value: str, explicit: bool) -> None:
        name = declaration.name
        if not is_address(declaration):
            if _PATH.search(value):
                raise UnmappedError(13, f"its parameter '{name}' is the path of a file, which a function has not")
            self.parameters[name] = value
            return
        side = "outputs" if writes(declaration, self.type) else "inputs"
        if REMOTE.match(value) or (explicit and not self._is_file(side, value)):
            self.parameters[name] = value
        else:
            self._put_address(declaration, self._artifact(side, value, f"--{name}"))

    def _is_file(self, side: str, value: str) -> bool:
        return bool(_PATH.fullmatch(value)) or any(a.get("path") == value for a in self.artifacts[side].values())

    def _artifact(self, side: str, file: str, what: str) -> str:
        found = _PATH.fullmatch(file)
        names = [name for name, artifact in self.artifacts[side].items() if artifact.get("path") == file]
        name = found[2] if found and found[1] == side else names[0] if names else ""
        if name not in self.artifacts[side]:
            raise UnmappedError(13, f"{what} {file[:60]} is no artifact of its {side}")
        return name

    def _put(self, side: str, port: str, artifact: str) -> None:
        ports = self.type.spec.inputs if side == "inputs" else self.type.spec.outputs
        if port not in (names := [known.name for known in ports]):
            hint = _choose(port, names)
            raise UnmappedError(7, f"{self.type.function} has no {side[:-1]} '{port}': {hint}")
        place = self.inputs if side == "inputs" else self.outputs
        if place.setdefault(port, artifact) != artifact:
            raise UnmappedError(7, f"{side[:-1]} '{port}' has two artifacts, '{place[port]}' and '{artifact}'")

    def _put_address(self, declaration: ParameterDeclaration, artifact: str) -> None:
        place = self.writes if writes(declaration, self.type) else self.reads
        if place.setdefault(declaration.name, artifact) != artifact or declaration.name in self.parameters:
            raise UnmappedError(13, f"its parameter '{declaration.name}' has two addresses")

    def _take_port(self, name: str, artifact: str) -> None:
        side, dot, port = name.partition(".")
        if dot and side in ("inputs", "outputs"):
            self._take_on(side, port, artifact)
        elif name in self.declared and is_address(self.declared[name]):
            self._take_on("outputs" if writes(self.declared[name], self.type) else "inputs", name, artifact)
        else:
            for side in self._sides(name, artifact):
                self._take_on(side, name, artifact)

    def _sides(self, port: str, artifact: str) -> list[str]:
        """Return on which sides an artifact belongs to a port: on both, where an input and an output have its name."""
        ports = {"inputs": self.type.spec.inputs, "outputs": self.type.spec.outputs}
        sides = [side for side, known in ports.items() if port in {each.name for each in known}]
        if len(sides) == 1:
            return sides
        holding = [side for side in ports if artifact in self.artifacts[side]] or ["outputs"]
        return holding if sides else holding[:1]  # of none that there is: said when it is taken

    def _take_on(self, side: str, name: str, artifact: str) -> None:
        if artifact not in self.artifacts[side]:
            raise UnmappedError(7, f"{PORTS} names artifact '{artifact}', which is none of its {side}")
        if name in self.declared and is_address(self.declared[name]):
            self._put_address(self.declared[name], artifact)
        else:
            self._put(side, name, artifact)

    def _take_rest(self, side: str) -> None:
        """Give artifacts that nothing named yet to the port of their name, and the only one left to the address."""
        ports = self.type.spec.inputs if side == "inputs" else self.type.spec.outputs
        used = [*(self.inputs if side == "inputs" else self.outputs).values()]
        used += (self.reads if side == "inputs" else self.writes).values()
        if twice := [name for name in used if used.count(name) > 1]:
            raise UnmappedError(7, f"artifact '{twice[0]}' is given to the function twice")
        left = [name for name in self.artifacts[side] if name not in used]
        for name in [name for name in left if name in {port.name for port in ports}]:
            self._put(side, name, name)
            left.remove(name)
        addresses = list(self._open_addresses(side))
        if len(left) == 1 and len(addresses) == 1:
            self._put_address(addresses[0], left.pop())
        free = [port.name for port in ports if port.name not in (self.inputs if side == "inputs" else self.outputs)]
        if len(left) == 1 and len(free) == 1 and not addresses:
            self._put(side, free[0], left.pop())
        if left:
            raise UnmappedError(
                8 if side == "outputs" else 7, f"nothing says what artifact '{left[0]}' is to the function"
            )

    def _open_addresses(self, side: str) -> Iterator[ParameterDeclaration]:
        for declaration in self.type.spec.parameters:
            taken = (*self.parameters, *self.reads, *self.writes)
            mine = is_address(declaration) and writes(declaration, self.type) == (side == "outputs")
            if mine and declaration.name not in taken:
                yield declaration


def _json_of(notes: JsonObject, annotation: str) -> Mapping[str, Any]:
    if annotation not in notes:
        return {}
    try:
        given = json.loads(str(notes[annotation]))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str | int | float | bool) for value in given.values()):
        raise UnmappedError(1, f"its annotation {annotation} is no JSON object of texts and numbers")
    return given


def _is_true(notes: JsonObject, annotation: str) -> bool:
    return str(notes.get(annotation, "")).lower() == "true"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _choose(name: str, known: Any) -> str:
    return choose(name, known).removesuffix(".")
