# SPDX-License-Identifier: Apache-2.0
"""Containers that only pretend: what they give is a digest of what they get, whether fused or not.

So a run tells whether every value still goes where it went, for pipelines whose functions nobody has written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelchain.kfp.core import Payload, decode
from kfp_backend.container import LOGS, Pod, Result
from kfp_backend.store import S3Store
from kfp_backend.values import Value, compact

JsonObject = dict[str, Any]
LAUNCHER = "accelchain.kfp.launcher"
"""In the command of a fused task."""
_REFERENCE = re.compile(r"\$\((parameters|inputs|outputs)\.([^.)]+)(?:\.uri)?\)")


def digest(*parts: Any) -> str:
    """Return a short text that stands for values."""
    return hashlib.sha256(compact(list(parts)).encode()).hexdigest()[:12]


def value_of(kind: str, text: str) -> Value:
    """Return a value of a parameter's type that depends on a digest."""
    number = float(int(text[:2], 16) % 5)
    values: dict[str, Value] = {
        "NUMBER_INTEGER": number,
        "NUMBER_DOUBLE": number + 0.5,
        "BOOLEAN": number > 2,
        "LIST": [text, text[::-1]],
        "STRUCT": {"text": text},
    }
    return values.get(kind, text)


@dataclass
class Pretender:
    """Stands for all images of a pipeline."""

    marks: Mapping[str, JsonObject]
    """By executor."""
    contents: dict[str, str] = field(default_factory=dict)
    """What is in artifacts, by uri; one that nobody wrote holds its own uri."""

    def execute(
        self,
        pod: Pod,
        command: Sequence[str],
        executor_input: JsonObject,
        component: JsonObject,
        store: S3Store | None,
        retry: int | None,
    ) -> Result:
        """Do what container.execute does."""
        del pod, store, retry
        artifacts = {n: each["artifacts"][0] for n, each in executor_input["outputs"]["artifacts"].items() if n != LOGS}
        mark = self.marks.get(component["executorLabel"])
        try:
            if LAUNCHER in command:
                found = self._chain(decode(command[command.index("--payload") + 1]), executor_input, artifacts)
            elif mark is not None:
                found = self._function(mark, executor_input, artifacts)
            else:
                found = self._other(component, executor_input, artifacts)
        except _AbsentError as error:
            return Result(False, str(error))
        kinds = component.get("outputDefinitions", {}).get("parameters", {})
        parameters = {name: value_of(kinds[name]["parameterType"], text) for name, text in found.items()}
        return Result(True, "", parameters, artifacts)

    def _content(self, executor_input: JsonObject, name: str) -> list[str]:
        return [self.contents.get(each["uri"], each["uri"]) for each in _given(executor_input, name)]

    def _other(self, component: JsonObject, executor_input: JsonObject, artifacts: JsonObject) -> dict[str, str]:
        """A component that nobody marked: all outputs depend on all inputs."""
        given = executor_input["inputs"]
        read = {name: self._content(executor_input, name) for name in given["artifacts"]}
        base = digest(component["executorLabel"], given["parameterValues"], read)
        for name, artifact in artifacts.items():
            self.contents[artifact["uri"]] = digest(base, name)
        return {name: digest(base, name) for name in executor_input["outputs"]["parameters"]}

    def _function(self, mark: JsonObject, executor_input: JsonObject, artifacts: JsonObject) -> dict[str, str]:
        """A marked component as it is: named values of its own become those of its function."""
        given = executor_input["inputs"]["parameterValues"]

        def read(name: str) -> Value:
            in_artifacts = name in executor_input["inputs"]["artifacts"]
            return self._content(executor_input, name)[0] if in_artifacts else given.get(name)

        sources = {own: each["input"] for own, each in mark.get("parameters", {}).items()}
        parameters = {own: given[name] for own, name in sources.items() if name in given}
        addresses = {own: given.get(each["inputParameter"]) for own, each in mark.get("addresses", {}).items()}
        ports = {port: read(name) for port, name in mark.get("inputs", {}).items()}
        base = digest(mark["function"], parameters, addresses, ports)
        found = {}
        for port, name in mark.get("outputs", {}).items():
            if name in artifacts:
                self.contents[artifacts[name]["uri"]] = digest(base, port)
            else:
                found[name] = digest(base, port)
        return found

    def _chain(self, payload: Payload, executor_input: JsonObject, artifacts: JsonObject) -> dict[str, str]:
        """A fused task: its functions one after the other."""
        given = executor_input["inputs"]["parameterValues"]
        chain = payload.spec["chain"]
        known = {each["name"]: each["default"] for each in chain.get("parameters", []) if "default" in each}
        known |= payload.spec.get("parameters", {})
        known |= {own: given[each["input"]] for own, each in payload.parameters.items() if each["input"] in given}
        uris: dict[tuple[str, str], str] = {}
        for side, places in (("inputs", payload.inputs), ("outputs", payload.outputs)):
            for own, literal in payload.spec.get(side, {}).items():
                uris[side, own] = literal["uri"]
            for own, place in places.items():
                if "parameter" in place:
                    uris[side, own] = given[place["parameter"]]
                elif side == "outputs":
                    uris[side, own] = artifacts[place["artifact"]]["uri"]
                else:
                    uris[side, own] = _given(executor_input, place["artifact"])[0]["uri"]

        def look_up(text: Value) -> tuple[bool, Value]:
            match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
            if match is None:
                return True, text
            if match[1] == "parameters":
                return match[2] in known, known.get(match[2])
            return True, uris[match[1], match[2]]

        tokens: dict[str, str] = {}
        edges = {each["to"]: each["from"] for each in chain.get("connections", [])}
        for function in _in_order(chain["functions"], edges):
            self._step(function, edges, tokens, look_up)
        return {output: digest(payload.name, text) for output, text in payload.results.items()}

    def _step(
        self,
        function: JsonObject,
        edges: Mapping[str, str],
        tokens: dict[str, str],
        look_up: Callable[[Value], tuple[bool, Value]],
    ) -> None:
        name, kind = function["name"], function["type"]
        ports = {to.partition(".")[2]: tokens[source] for to, source in edges.items() if to.partition(".")[0] == name}
        values = {own: look_up(text) for own, text in function.get("parameters", {}).items()}
        found = {own: value for own, (is_there, value) in values.items() if is_there}
        if kind in ("load-frames", "load-detections"):
            tokens[f"{name}.{kind.partition('-')[2]}"] = self.contents.get(found["uri"], found["uri"])
        elif kind in ("save-frames", "save-detections"):
            (self.contents[found["uri"]],) = ports.values()
        else:
            addresses = {own: value for own, value in found.items() if own.endswith("-uri")}
            parameters = {own: value for own, value in found.items() if own not in addresses}
            base = digest(kind, parameters, addresses, ports)
            for source in edges.values():
                if source.partition(".")[0] == name:
                    tokens[source] = digest(base, source.partition(".")[2])


class _AbsentError(Exception):
    """An optional artifact that nobody gave, and that is needed."""


def _given(executor_input: JsonObject, name: str) -> list[JsonObject]:
    found: JsonObject | None = executor_input["inputs"]["artifacts"].get(name)
    if found is None:
        raise _AbsentError(f"input artifact {name!r} was not given")
    artifacts: list[JsonObject] = found["artifacts"]
    return artifacts


def _in_order(functions: list[JsonObject], edges: Mapping[str, str]) -> list[JsonObject]:
    """Return functions, sources first."""
    left, found = list(functions), []
    while left:
        names = {function["name"] for function in left}
        ready = [
            function
            for function in left
            if not any(
                to.partition(".")[0] == function["name"] and source.partition(".")[0] in names
                for to, source in edges.items()
            )
        ]
        assert ready, "the chain goes round in circles"
        found += ready
        left = [function for function in left if function not in ready]
    return found
