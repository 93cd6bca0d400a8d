# SPDX-License-Identifier: Apache-2.0
"""The mark of a component: which function it is (pure). It is what the pass reads under ``platforms.dataflow``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.literal import Literal, Scalar

if TYPE_CHECKING:
    from accelchain.kfp.authoring.kfp_objects import Interface

PLATFORM = "dataflow"
MARK_VARIABLE = "ACCELCHAIN_MARK"
DEVICE_TYPES = ("cpu", "gpu", "fpga")

Place = str | Literal | Mapping[str, Scalar]
"""A name of the component's, or a literal; a mapping is what the mark itself holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Where something is to run, and how fast."""

    device_types: Sequence[str] = ()
    devices: Sequence[str] = ()
    nodes: Sequence[str] = ()
    implementations: Sequence[str] = ()
    rate: float | None = None

    def placement(self, where: str) -> dict[str, list[str]]:
        """Return the placement as in the mark, without what is not given.

        Raises:
            AuthoringError: a device type is not known.
        """
        given = {
            "deviceTypes": _names(self.device_types),
            "devices": _names(self.devices),
            "nodes": _names(self.nodes),
            "implementations": _names(self.implementations),
        }
        for kind in given["deviceTypes"]:
            if kind not in DEVICE_TYPES:
                raise AuthoringError(
                    f"{where}: there is no device type {kind!r}: choose from {', '.join(DEVICE_TYPES)}."
                )
        return {name: names for name, names in given.items() if names}

    def write(self, mark: dict[str, Any], where: str) -> None:
        """Put placement and rate into a mark.

        Raises:
            AuthoringError: one of them is wrong.
        """
        if placement := self.placement(where):
            mark["placement"] = placement
        if self.rate is not None:
            number = isinstance(self.rate, int | float) and not isinstance(self.rate, bool)
            if not (number and math.isfinite(self.rate) and self.rate > 0):
                raise AuthoringError(f"{where}: rate is {self.rate!r}; give frames a second, more than 0.")
            mark["rate"] = self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an author says of a component. The arguments are those of ``accelerated``."""

    function: str
    version: str | None = None
    parameters: Mapping[str, Place] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, Place] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    wishes: Wishes = field(default_factory=Wishes)

    def mark(self, interface: Interface, where: str) -> dict[str, Any]:
        """Return the mark for a component. What is not said is left to the pass, which maps equal names.

        Args:
            interface: of the component.
            where: the component or task, for messages.

        Raises:
            AuthoringError: a name is not one of the component's, or a wish is wrong.
        """
        check = _Check(interface, where)
        mark: dict[str, Any] = {"function": self.function}
        if not self.function:
            raise AuthoringError(f"{where}: the function has no name: give one, such as filter-resize.")
        if self.version is not None:
            mark["version"] = self.version
        sections = {
            "parameters": {name: check.parameter(name, place) for name, place in self.parameters.items()},
            "inputs": {
                port: check.one_of("inputs", port, name, interface.inputs) for port, name in self.inputs.items()
            },
            "outputs": {
                port: check.one_of("outputs", port, name, interface.outputs) for port, name in self.outputs.items()
            },
            "addresses": {name: check.address(name, place) for name, place in self.addresses.items()},
            "results": {check.result(name): key for name, key in self.results.items()},
        }
        mark |= {name: entries for name, entries in sections.items() if entries}
        self.wishes.write(mark, where)
        return mark


class _Check:
    """Resolves names against the component's interface."""

    def __init__(self, interface: Interface, where: str) -> None:
        self._interface, self._where = interface, where

    def parameter(self, name: str, place: Place) -> dict[str, Scalar]:
        if not isinstance(place, str):
            return _fixed(place)
        known = self._interface.input_parameters
        hint = f"; for a fixed value write literal({place!r})"
        return {"input": self.one_of("parameters", name, place, known, hint)}

    def address(self, name: str, place: Place) -> dict[str, Scalar]:
        if not isinstance(place, str):
            return _fixed(place)
        if ":" in place:
            raise AuthoringError(f"{self._where}: addresses[{name!r}] is {place!r}: write literal({place!r}).")
        own = self._interface
        kinds: tuple[tuple[str, Sequence[str]], ...] = (
            ("input", own.input_artifacts),
            ("inputParameter", own.input_parameters),
            ("output", own.output_artifacts),
        )
        found = [kind for kind, names in kinds if place in names]
        if len(found) > 1:  # an input and an output of one name: the function's manifest would tell, the author does
            raise AuthoringError(
                f"{self._where}: addresses[{name!r}] is {place!r}, which is an input and an output: "
                f"write {{'{found[0]}': {place!r}}} or {{'{found[1]}': {place!r}}}."
            )
        if not found:
            self.one_of("addresses", name, place, [n for _, names in kinds for n in names])
        return {found[0]: place}

    def result(self, name: str) -> str:
        return self.one_of("results", name, name, self._interface.output_parameters)

    def one_of(self, section: str, key: str, name: str, known: Iterable[str], hint: str = "") -> str:
        known = tuple(known)
        if name in known:
            return name
        what = {"outputs": "output", "results": "output parameter"}.get(section, "input")
        there = f"its {what}s are {', '.join(known)}" if known else f"it has no {what}"
        raise AuthoringError(f"{self._where}: {section}[{key!r}]: there is no {what} {name!r}: {there}{hint}.")


def _fixed(place: Any) -> dict[str, Scalar]:
    if isinstance(place, Literal):
        return {"value": place.value}
    if isinstance(place, Mapping):
        return dict(place)
    return {"value": place}


def _names(given: Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def attach(task: Any, mark: Mapping[str, Any]) -> None:
    """Put a mark on a task of KFP's, in place of an earlier one.

    Its key, which the container tells too, keeps it apart from others' when KFP joins pipelines
    (``core.pipeline.own_mark``).
    """
    key = f"mark-{hashlib.sha256(json.dumps(mark, sort_keys=True).encode()).hexdigest()[:12]}"
    task.platform_config[PLATFORM] = {key: dict(mark)}
    task.set_env_variable(MARK_VARIABLE, key)


def mark_of(task: Any) -> dict[str, Any] | None:
    """Return a task's mark, None where it has none."""
    marks: dict[str, dict[str, Any]] = task.platform_config.get(PLATFORM) or {}
    return next(iter(marks.values()), None)
