# SPDX-License-Identifier: Apache-2.0
"""Runs a Workflow's meaning on values: no Pods, no files, no cluster. A container is a function of lists of int.

Places that it follows are those of argoproj/argo-workflows v4.1.2: workflow/controller/dag.go (depends, Omitted),
steps.go (groups, references), operator.go (loops, retries, exit handler).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
_TAG = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_WORD = re.compile(r"[A-Za-z0-9_][-\w]*(?:\.[A-Za-z]+)?")


class FailureError(Exception):
    """A function that fails: the node is Failed."""


class UnresolvedError(Exception):
    """A variable without a value: the node is Error."""


@dataclass
class Node:
    phase: str
    parameters: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)


def numbers(function: str, by: int, data: list[int] | None) -> list[int]:
    """Return what a function makes of its input."""
    if function == "read-numbers":
        return list(data or ())
    assert data is not None
    if function == "add":
        return [n + by for n in data]
    if function == "scale":
        return [n * by for n in data]
    if function == "fail-at":
        if by in data:
            raise FailureError
        return data
    assert function == "write-numbers", function
    return data


class Plain:
    """One run."""

    def __init__(self, document: Json, store: dict[str, list[int]]) -> None:
        spec = document["spec"]
        self.spec = spec.get("workflowSpec", spec)
        self.templates = {template["name"]: template for template in self.spec["templates"]}
        self.store = {key: list(value) for key, value in store.items()}
        self.globals = {"workflow.name": "w"}
        for parameter in self.spec.get("arguments", {}).get("parameters", ()):
            self.globals[f"workflow.parameters.{parameter['name']}"] = str(parameter["value"])
        self.starts: list[str] = []
        self.nodes: dict[str, str] = {}

    def run(self) -> tuple[str, dict[str, list[int]]]:
        """Return the Workflow's phase, and all that lies in the store by its key."""
        root = self.call(self.templates[self.spec["entrypoint"]], {}, {}, "w")
        if handler := self.spec.get("onExit"):
            self.globals["workflow.status"] = root.phase
            self.call(self.templates[handler], {}, {}, "w.onExit")
        return root.phase, self.store

    def call(self, template: Json, parameters: Json, artifacts: Json, node: str) -> Node:
        """Run a template; attempts of its retryStrategy as well."""
        template = {**self.spec.get("templateDefaults", {}), **template}
        limit = int(template.get("retryStrategy", {}).get("limit", 0))
        for _ in range(limit + 1):
            result = self._once(template, parameters, artifacts, node)
            if result.phase != "Failed":
                break
        self.nodes[node] = result.phase
        return result

    def _once(self, template: Json, parameters: Json, artifacts: Json, node: str) -> Node:
        scope = dict(self.globals) | {"node.name": node}
        given: Json = {}
        try:
            for declared in template.get("inputs", {}).get("parameters", ()):
                value = parameters.get(declared["name"], declared.get("value", declared.get("default")))
                if value is None:
                    raise UnresolvedError(declared["name"])
                scope[f"inputs.parameters.{declared['name']}"] = str(value)
            for declared in template.get("inputs", {}).get("artifacts", ()):
                name = declared["name"]
                scope[f"inputs.artifacts.{name}.path"] = declared["path"]
                given[name] = artifacts[name] if name in artifacts else self._load(declared, scope)
            for declared in template.get("outputs", {}).get("artifacts", ()):
                if "path" in declared:
                    scope[f"outputs.artifacts.{declared['name']}.path"] = declared["path"]
            if "dag" in template:
                return self._finish(template, scope, given, self._dag(template["dag"]["tasks"], scope, given, node))
            if "steps" in template:
                return self._finish(template, scope, given, self._steps(template["steps"], scope, given, node))
            self.starts.append(node)
            if "plugin" in template:
                return self._flow(template, scope, given)
            return self._container(template, scope, given)
        except UnresolvedError:
            return Node("Error")
        except FailureError:
            return Node("Failed")

    def _load(self, artifact: Json, scope: Json) -> Any:
        if "s3" not in artifact:
            raise UnresolvedError(artifact["name"])
        key = self.text(artifact["s3"]["key"], scope)
        if key not in self.store:
            raise FailureError
        return self.store[key]

    def text(self, text: str, scope: Json) -> str:
        def by(found: re.Match[str]) -> str:
            if found[1] not in scope:
                raise UnresolvedError(found[1])
            return str(scope[found[1]])

        return _TAG.sub(by, str(text))

    def _container(self, template: Json, scope: Json, given: Json) -> Node:
        args = [self.text(word, scope) for word in template["container"]["args"]]
        options: dict[str, str] = {}
        for name, value in zip(args[::2], args[1::2], strict=True):
            options[name.removeprefix("--") if name not in ("--input", "--output") else name + value.split("=")[0]] = (
                value
            )
        paths = {a["path"]: given[a["name"]] for a in template.get("inputs", {}).get("artifacts", ())}
        function = template["container"]["command"][2]
        source = (
            options.get("uri") if function == "read-numbers" else options.get("--inputnumbers", "").partition("=")[2]
        )
        made = numbers(function, int(options.get("by", 0)), paths[source])
        return Node("Succeeded", artifacts={a["name"]: self._save(a, scope, made) for a in _artifacts(template)})

    def _save(self, artifact: Json, scope: Json, made: list[int]) -> list[int]:
        if "s3" in artifact:
            self.store[self.text(artifact["s3"]["key"], scope)] = made
        return made

    def _flow(self, template: Json, scope: Json, given: Json) -> Node:
        chain = json.loads(self.text(json.dumps(template["plugin"]["accelchain"]["dataflow"]["chain"]), scope))
        made: dict[str, list[int]] = {}
        ends: dict[str, list[int]] = {}
        feeds = {c["to"].split(".")[0]: c["from"].split(".")[0] for c in chain.get("connections", ())}
        for function in chain["functions"]:
            parameters = function.get("parameters", {})
            uri = re.fullmatch(r"\$\((inputs|outputs)\.(.+)\.uri\)", str(parameters.get("uri", "")))
            data = given[uri[2]] if uri and uri[1] == "inputs" else made[feeds[function["name"]]]
            made[function["name"]] = numbers(function["type"], int(parameters.get("by", 0)), data)
            if uri and uri[1] == "outputs":
                ends[uri[2]] = made[function["name"]]
        return Node(
            "Succeeded", artifacts={a["name"]: self._save(a, scope, ends[a["name"]]) for a in _artifacts(template)}
        )

    def _finish(self, template: Json, scope: Json, given: Json, done: tuple[str, Json]) -> Node:
        phase, known = done
        if phase != "Succeeded":
            return Node(phase)
        artifacts = {}
        for artifact in _artifacts(template):
            artifacts[artifact["name"]] = self._from(artifact["from"], known, given)
        return Node("Succeeded", artifacts=artifacts)

    def _from(self, text: str, known: Json, given: Json) -> Any:
        inner = _TAG.fullmatch(text)
        assert inner is not None
        if inner[1].startswith("inputs.artifacts."):
            return given[inner[1].removeprefix("inputs.artifacts.")]
        if inner[1] not in known:
            raise UnresolvedError(inner[1])
        return known[inner[1]]

    def _steps(self, groups: list[list[Json]], scope: Json, given: Json, node: str) -> tuple[str, Json]:
        known: Json = {}
        for i, group in enumerate(groups):
            phases = []
            for step in group:
                done = self._invoke(step, {**scope, **known}, known, given, f"{node}[{i}]")
                self._remember("steps", step["name"], done, known)
                tolerated = done.phase in ("Failed", "Error") and step.get("continueOn", {}).get(done.phase.lower())
                phases.append("Succeeded" if done.phase == "Skipped" or tolerated else done.phase)
            if worst := [phase for phase in phases if phase != "Succeeded"]:
                return ("Error" if "Error" in worst else "Failed"), known
        return "Succeeded", known

    def _dag(self, tasks: list[Json], scope: Json, given: Json, node: str) -> tuple[str, Json]:
        known: Json = {}
        states: dict[str, str] = {}
        by_name = {task["name"]: task for task in tasks}
        while len(states) < len(tasks):
            for name, task in by_name.items():
                if name in states or any(word not in states for word in _needs(task)):
                    continue
                done = Node("Omitted")
                if _holds(task, states):
                    done = self._invoke(task, {**scope, **known}, known, given, node)
                states[name] = done.phase
                self._remember("tasks", name, done, known)
        if "Error" in states.values():
            return "Error", known
        return ("Failed" if "Failed" in states.values() else "Succeeded"), known

    def _remember(self, prefix: str, name: str, done: Node, known: Json) -> None:
        known[f"{prefix}.{name}.status"] = done.phase
        for artifact, value in done.artifacts.items():
            known[f"{prefix}.{name}.outputs.artifacts.{artifact}"] = value

    def _invoke(self, call: Json, scope: Json, known: Json, given: Json, node: str) -> Node:
        template = self.templates[call["template"]] if "template" in call else call["inline"]
        results = []
        try:
            for index, item in self._items(call, scope):
                name = f"{node}.{call['name']}" + ("" if index is None else f"({index})")
                own = scope if index is None else {**scope, "item": item}
                if "when" in call and not _true(self.text(call["when"], own)):
                    self.nodes[name] = "Skipped"
                    results.append(Node("Skipped"))
                    continue
                arguments = call.get("arguments", {})
                parameters = {p["name"]: self.text(p["value"], own) for p in arguments.get("parameters", ())}
                artifacts = {}
                for artifact in arguments.get("artifacts", ()):
                    value = (
                        self._from(artifact["from"], known, given) if "from" in artifact else self._load(artifact, own)
                    )
                    artifacts[artifact["name"]] = value
                results.append(self.call(template, parameters, artifacts, name))
        except UnresolvedError:
            return Node("Error")
        except FailureError:
            return Node("Error")
        if len(results) == 1 and not any(loop in call for loop in ("withItems", "withParam", "withSequence")):
            return results[0]
        phases = {result.phase for result in results}
        return Node(next((phase for phase in ("Error", "Failed") if phase in phases), "Succeeded"))

    def _items(self, call: Json, scope: Json) -> Iterator[tuple[int | None, Any]]:
        if "withItems" in call:
            yield from enumerate(call["withItems"])
        elif "withParam" in call:
            yield from enumerate(json.loads(self.text(call["withParam"], scope)))
        elif "withSequence" in call:
            yield from enumerate(range(int(self.text(call["withSequence"]["count"], scope))))
        else:
            yield None, None


def _artifacts(template: Json) -> list[Json]:
    listed: list[Json] = template.get("outputs", {}).get("artifacts", [])
    return listed


def _needs(task: Json) -> list[str]:
    return [word.partition(".")[0] for word in _words(task)]


def _words(task: Json) -> list[str]:
    return _WORD.findall(task["depends"]) if "depends" in task else list(task.get("dependencies", ()))


def _holds(task: Json, states: dict[str, str]) -> bool:
    def one(word: str) -> bool:
        name, _, wanted = word.partition(".")
        return states[name] == wanted if wanted else states[name] in ("Succeeded", "Skipped", "Daemoned")

    if "depends" not in task:
        return all(one(name) for name in task.get("dependencies", ()))
    text = _WORD.sub(lambda found: str(one(found[0])), task["depends"])
    return bool(eval(text.replace("&&", " and ").replace("||", " or ").replace("!", " not "), {}))


def _true(text: str) -> bool:
    found = re.fullmatch(r"\s*(\S+)\s*(==|!=|>|<)\s*(\S+)\s*", text)
    assert found is not None, text
    compare: dict[str, Callable[[str, str], bool]] = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">": lambda a, b: int(a) > int(b),
        "<": lambda a, b: int(a) < int(b),
    }
    return compare[found[2]](found[1], found[3])
