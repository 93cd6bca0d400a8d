# SPDX-License-Identifier: Apache-2.0
"""The role of a component: which function it is, and which of its inputs and outputs are the function's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from accelchain.api.function_type import FunctionType
from accelchain.api.parameter import ParameterDeclaration
from accelchain.chain.problems import choose
from accelchain.kfp.core.catalogue import Catalogue
from accelchain.kfp.core.literals import cast
from accelchain.kfp.core.report import JsonObject, Stop

KEYS = (
    "function", "version", "parameters", "inputs", "outputs", "addresses", "results", "placement", "rate", "chain",
)  # fmt: skip
_CHAIN_KEYS = ("name", "kind", "rate", "retries", "placement", "deterministic", "activeDeadlineSeconds")
PLACEMENT_KEYS = ("deviceTypes", "devices", "nodes", "implementations")
_ADDRESS_KINDS = ("input", "inputParameter", "output", "value")


@dataclass(frozen=True, slots=True)
class Interface:
    """What a component takes and gives, by KFP's definitions."""

    input_parameters: Mapping[str, JsonObject]
    input_artifacts: Mapping[str, JsonObject]
    output_parameters: Mapping[str, JsonObject]
    output_artifacts: Mapping[str, JsonObject]

    @classmethod
    def of(cls, component: JsonObject) -> Interface:
        """Return a component's interface."""
        inputs, outputs = component.get("inputDefinitions") or {}, component.get("outputDefinitions") or {}
        return cls(
            inputs.get("parameters") or {},
            inputs.get("artifacts") or {},
            outputs.get("parameters") or {},
            outputs.get("artifacts") or {},
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from, or an address stands."""

    kind: str
    """``input``, ``inputParameter``, ``output`` (names of the component's) or ``value``."""
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A component as a function."""

    type: FunctionType
    version: str | None
    """The version that was asked for."""
    assumed: bool
    """Nobody marked it: a FunctionType replaces its image or name."""
    parameters: Mapping[str, Source]
    addresses: Mapping[str, Source]
    inputs: Mapping[str, str]
    """Port: the component's input artifact or parameter."""
    outputs: Mapping[str, str]
    results: Mapping[str, str]
    """Output parameter: what the function tells."""
    placement: Mapping[str, Any]
    rate: float | None
    chain: JsonObject | None

    def used_inputs(self) -> Iterator[str]:
        """Yield the component's inputs that the function takes."""
        yield from (s.value for s in self.parameters.values() if s.kind == "input")
        yield from (s.value for s in self.addresses.values() if s.kind in ("input", "inputParameter"))
        yield from self.inputs.values()

    def used_outputs(self) -> Iterator[str]:
        """Yield the component's outputs that the function fills."""
        yield from self.outputs.values()
        yield from self.results
        yield from (s.value for s in self.addresses.values() if s.kind == "output")


def role_of(
    task: str, mark: JsonObject | None, name: str, component: JsonObject, image: str, catalogue: Catalogue
) -> Role | None:
    """Return the role of a task's component; None where it has no mark and no function replaces it.

    Args:
        task: for messages.
        mark: under ``platforms.dataflow``.
        name: the component's, without ``comp-``.
        component: its definition.
        image: its container's.
        catalogue: the functions.

    Raises:
        Stop: the mark does not fit the component or the function.
    """
    if mark is None:
        type_ = catalogue.replacing(image, name)
        return None if type_ is None else _Reader(task, {}, Interface.of(component), type_, True).role()
    if not isinstance(mark, Mapping):
        raise Stop("mark", task, "its mark is no mapping: give function and what it needs.")
    if unknown := [key for key in mark if key not in KEYS]:
        raise Stop("mark", task, f"its mark has an unknown field {unknown[0]!r}: {choose(unknown[0], KEYS)}")
    if not isinstance(mark.get("function"), str) and "function" in mark:
        raise Stop("mark", task, f"function is {mark['function']!r}: give a function's name.")
    if "function" in mark:
        found = catalogue.find(mark["function"], mark.get("version"))
    else:
        found = catalogue.replacing(image, name) or "its mark names no function, and none replaces its image."
    if isinstance(found, str):
        raise Stop("function", task, found)
    return _Reader(task, mark, Interface.of(component), found, False).role()


class _Reader:
    """Reads one mark."""

    def __init__(self, task: str, mark: JsonObject, interface: Interface, type_: FunctionType, assumed: bool) -> None:
        self._task, self._mark, self._own, self._type, self._assumed = task, mark, interface, type_, assumed
        declared = {parameter.name: parameter for parameter in type_.spec.parameters}
        self._addresses = {n: p for n, p in declared.items() if str(p.format or "").startswith("uri-")}
        self._parameters = {n: p for n, p in declared.items() if n not in self._addresses}

    def role(self) -> Role:
        rate = self._mark.get("rate")
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0):
            self._stop(f"rate is {rate!r}: give frames a second, more than 0.")
        return Role(
            type=self._type,
            version=self._mark.get("version"),
            assumed=self._assumed,
            parameters=self._read_parameters(),
            addresses=self._read_addresses(),
            inputs=self._ports("inputs", (*self._own.input_artifacts, *self._own.input_parameters)),
            outputs=self._ports("outputs", (*self._own.output_artifacts, *self._own.output_parameters)),
            results=self._results(),
            placement=self._placement("placement", self._mark.get("placement")),
            rate=rate,
            chain=self._chain(),
        )

    def _read_parameters(self) -> dict[str, Source]:
        given = self._section("parameters")
        self._known("parameters", given, self._parameters, "parameter")
        found = {}
        for name, declaration in self._parameters.items():
            if name not in given:
                if same := _same(name, self._own.input_parameters):
                    found[name] = Source("input", same)
                continue
            place = given[name]
            if not isinstance(place, Mapping) or len(place) != 1 or next(iter(place)) not in ("input", "value"):
                self._stop(f"parameters.{name} is {place!r}: give {{input: NAME}} or {{value: LITERAL}}.")
            if "input" in place:
                self._one_of(f"parameters.{name}.input", place["input"], self._own.input_parameters, "input parameter")
                found[name] = Source("input", place["input"])
            else:
                found[name] = Source("value", self._literal(f"parameters.{name}.value", place["value"], declaration))
        return found

    def _literal(self, field: str, value: Any, declaration: ParameterDeclaration) -> Any:
        try:
            return cast(value, declaration)
        except ValueError as error:
            self._stop(f"{field}: {error}: correct it.")

    def _read_addresses(self) -> dict[str, Source]:
        given = self._section("addresses")
        self._known("addresses", given, self._addresses, "address")
        own = self._own
        kinds = {
            "input": own.input_artifacts,
            "inputParameter": own.input_parameters,
            "output": own.output_artifacts,
        }
        found = {}
        for name, declaration in self._addresses.items():
            reads = declaration.format == "uri-input"
            fitting = ("input", "inputParameter") if reads else ("output", "inputParameter")
            if name not in given:
                for kind in fitting:
                    if same := _same(name, kinds[kind]):
                        found[name] = Source(kind, same)
                        break
                continue
            place = given[name]
            if not isinstance(place, Mapping) or len(place) != 1 or next(iter(place)) not in _ADDRESS_KINDS:
                self._stop(f"addresses.{name} is {place!r}: give {', '.join(f'{{{k}: …}}' for k in _ADDRESS_KINDS)}.")
            kind, value = next(iter(place.items()))
            if kind == "value":
                self._literal(f"addresses.{name}.value", value, declaration)
            elif kind not in fitting:
                self._stop(f"addresses.{name}: a {'source' if reads else 'sink'} has its address from {fitting[0]}.")
            else:
                self._one_of(f"addresses.{name}.{kind}", value, kinds[kind], kind)
            found[name] = Source(kind, value)
        return found

    def _ports(self, side: str, own: tuple[str, ...]) -> dict[str, str]:
        ports = [port.name for port in (self._type.spec.inputs if side == "inputs" else self._type.spec.outputs)]
        given = self._section(side)
        self._known(side, given, ports, "port")
        found = {}
        for port in ports:
            if port in given:
                self._one_of(f"{side}.{port}", given[port], own, side[:-1])
                found[port] = given[port]
            elif same := _same(port, own):
                found[port] = same
        return found

    def _results(self) -> dict[str, str]:
        given = self._section("results")
        for name, key in given.items():
            self._one_of("results", name, self._own.output_parameters, "output parameter")
            if not isinstance(key, str) or not key:
                self._stop(f"results.{name} is {key!r}: give what the function tells, such as frames.")
        return dict(given)

    def _placement(self, field: str, given: Any) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self._stop(f"{field} is {given!r}: give a mapping with {', '.join(PLACEMENT_KEYS)}.")
        self._known(field, given, PLACEMENT_KEYS, "field")
        for key, names in given.items():
            if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
                self._stop(f"{field}.{key} is {names!r}: give a list of names.")
        return dict(given)

    def _chain(self) -> JsonObject | None:
        given = self._mark.get("chain")
        if given is None:
            return None
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            self._stop(f"chain is {given!r}: give its name.")
        self._known("chain", given, _CHAIN_KEYS, "field")
        if given.get("kind", "group") not in ("group", "pipeline"):
            self._stop(f"chain.kind is {given['kind']!r}: give group or pipeline.")
        for key in ("retries", "activeDeadlineSeconds"):
            value = given.get(key, 1)
            if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
                self._stop(f"chain.{key} is {value!r}: give a whole number.")
        rate = given.get("rate", 1)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0:
            self._stop(f"chain.rate is {rate!r}: give frames a second, more than 0.")
        self._placement("chain.placement", given.get("placement"))
        return {"kind": "group", **given}

    def _section(self, name: str) -> Mapping[str, Any]:
        given = self._mark.get(name)
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self._stop(f"{name} is {given!r}: give a mapping.")
        return given

    def _known(self, field: str, given: Iterable[str], known: Iterable[str], what: str) -> None:
        for name in given:
            if name not in known:
                of = "" if what == "field" else f"function '{self._type.function}' has no {what} '{name}'"
                self._stop(f"{field}: {of or f'there is no field {name!r}'}: {choose(name, known)}")

    def _one_of(self, field: str, name: Any, known: Iterable[str], what: str) -> None:
        if name not in known:
            self._stop(f"{field}: the component has no {what} {name!r}: {choose(str(name), known)}")

    def _stop(self, sentence: str) -> NoReturn:
        raise Stop("mark", self._task, sentence)


def _same(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is equal; dashes and underscores are equal."""
    plain = name.replace("-", "_").lower()
    return next((own for own in names if own.replace("-", "_").lower() == plain), None)
