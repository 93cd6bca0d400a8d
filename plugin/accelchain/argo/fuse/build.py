# SPDX-License-Identifier: Apache-2.0
"""A chain that no rule stops becomes one template and one call."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from accelchain.api.function_chain import FunctionChainSpec
from accelchain.api.function_type import FunctionType
from accelchain.argo.core.body import KEY, StepError, parse_body, parse_duration
from accelchain.argo.core.outputs import check_outputs
from accelchain.argo.core.unknown import as_if_started, is_unknown
from accelchain.argo.fuse.leaf import Leaf, named
from accelchain.argo.fuse.report import Stop
from accelchain.argo.fuse.rules.pods import HOSTNAME, LIMITS, selector
from accelchain.argo.fuse.scope import Chain, Step
from accelchain.argo.fuse.tags import tags
from accelchain.argo.fuse.values import inlined, value_of
from accelchain.chain.resolve import check_chain
from accelchain.chain.resolved import Problem
from accelchain.chain.values import fitted

JsonObject = dict[str, Any]

FUSED_STEPS: Final = "accelchain.io/fused-steps"
"""Annotation of a fused template: the steps that it stands for."""
_LONGEST: Final = 63
_PARAMETER: Final = re.compile(r"inputs\.parameters\.([^\s.{}\[\]]+)")


class NoChainError(Exception):
    """Steps that no rule stopped make no DataFlow; ``stop`` says why."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.sentence)
        self.stop = stop


def build(chain: Chain, types: Sequence[FunctionType]) -> tuple[JsonObject, JsonObject]:
    """Return the template of a chain's DataFlow, and the call that takes the place of its steps.

    Args:
        chain: steps that no rule stops.
        types: the functions that there are.

    Raises:
        NoChainError: the functions do not fit each other, or a value does not fit its parameter.
    """
    draft = _Draft(chain)
    first, last = chain.members[0], chain.members[-1]
    template = draft.template(_name(first.name, last.name))
    try:
        started = as_if_started(template)[0]
        body = parse_body(started)
        check_outputs(template, body, {**body.spec, "outputs": {name: {} for name in draft.outputs}})
    except StepError as error:
        raise NoChainError(Stop(13, last.name, f"its DataFlow would not be valid: {error}")) from None
    _check(chain, draft.chain, types)
    call = {key: copy.deepcopy(first.call[key]) for key in ("depends", "dependencies", "when") if key in first.call}
    arguments = {"parameters": draft.given_parameters, "artifacts": draft.given_artifacts}
    arguments = {kind: listed for kind, listed in arguments.items() if listed}
    return template, {"name": last.name, "template": template["name"]} | (
        {"arguments": arguments} if arguments else {}
    ) | call


class _Draft:
    """Collects what the steps bring; names that two of them use for different things get the step's in front."""

    def __init__(self, chain: Chain) -> None:
        self.members = chain.members
        self.whole = chain
        self.parameters: dict[str, str] = {}
        """Values of the new template's parameters, with variables of the template around, by name."""
        self.inputs: list[JsonObject] = []
        self.outputs: list[str] = []
        self.given_artifacts: list[JsonObject] = []
        self._paths: set[str] = set()
        functions = _function_names(step.name for step in chain.members)
        self._texts = {step.name: self._texts_of(step) for step in chain.members}
        self.chain: JsonObject = {"inputs": [], "outputs": [], "functions": [], "connections": []}
        for (step, leaf), name in zip(chain.leaves(), functions, strict=True):
            self.chain["functions"].append(self._function(step, leaf, name))
        for i, (first, second) in enumerate(chain.pairs):
            self.chain["connections"] += _connections(first, second, functions[i], functions[i + 1])
        self.chain = {field: listed for field, listed in self.chain.items() if listed}
        self._results = {name: f"{functions[-1]}.{of}" for name, of in _leaf(self.members[-1]).results.items()}

    @property
    def given_parameters(self) -> list[JsonObject]:
        return [{"name": name, "value": value} for name, value in self.parameters.items()]

    def template(self, name: str) -> JsonObject:
        """Return the template; once."""
        last = self.members[-1]
        steps = ",".join(step.name for step in self.members)
        template: JsonObject = {"name": name, "metadata": {"annotations": {FUSED_STEPS: steps}}}
        if inputs := _without_empty(
            {"parameters": [{"name": name} for name in self.parameters], "artifacts": self.inputs}
        ):
            template["inputs"] = inputs
        declared = named(last.template, "outputs", "artifacts")
        outputs = {
            "parameters": [self._result(p) for p in named(last.template, "outputs", "parameters").values()],
            "artifacts": [self._placed(last, declared[name], name) for name in self.outputs],
        }
        if outputs := _without_empty(outputs):
            template["outputs"] = outputs
        strategy = last.template.get("retryStrategy")
        if strategy is not None:
            template["retryStrategy"] = copy.deepcopy(strategy)
        for field in LIMITS:
            times = [parse_duration(step.template[field]) for step in self.members if step.template.get(field)]
            if times:
                template[field] = _duration(sum(times), field)
        template["plugin"] = {KEY: self._body(retried=strategy is not None)}
        return template

    def _body(self, retried: bool) -> JsonObject:
        body: JsonObject = {"node": "{{node.name}}"}
        if retried:
            body["attempt"] = "{{retries}}"
        body["dataflow"] = {"chain": self.chain}
        if node := selector(self.whole, self.members[0]).get(HOSTNAME):
            body["dataflow"]["placement"] = {"rules": [{"nodes": [node]}]}
        if self._results:
            body["results"] = self._results
        return body

    def _texts_of(self, step: Step) -> dict[str, str]:
        """Return what stands for each of the step's parameters in the new template."""
        leaf = _leaf(step)
        holding: list[Any] = [dict(leaf.parameters), named(step.template, "outputs", "parameters")]
        for side, names in (("inputs", leaf.reads.values()), ("outputs", leaf.writes.values())):
            holding += [a for name, a in named(step.template, side, "artifacts").items() if name in names]
        texts: dict[str, str] = {}
        for tag in tags(holding):
            found = _PARAMETER.fullmatch(tag)
            if found is None or found[1] in texts:
                continue
            value = value_of(step, found[1])
            if value is None:
                raise NoChainError(Stop(13, step.name, f"its parameter '{found[1]}' has no value."))
            texts[found[1]] = self._parameter(step, found[1], value) if is_unknown(value) else value
        return texts

    def _parameter(self, step: Step, name: str, value: str) -> str:
        same = next((known for known, there in self.parameters.items() if there == value), None)
        if same is None:
            same = _unused(name, f"{step.name}-{name}", self.parameters)
            self.parameters[same] = value
        return f"{{{{inputs.parameters.{same}}}}}"

    def _function(self, step: Step, leaf: Leaf, name: str) -> JsonObject:
        declared = {declaration.name: declaration for declaration in leaf.type.spec.parameters}
        values: JsonObject = {}
        for key, text in leaf.parameters.items():
            value = inlined(step, text, self._texts[step.name])
            values[key] = value if is_unknown(value) else fitted(declared[key], value)
        for key, artifact in leaf.reads.items():
            values[key] = f"$(inputs.{self._read(step, artifact)}.uri)"
        for key, artifact in leaf.writes.items():
            self.chain["outputs"].append({"name": artifact})
            self.outputs.append(artifact)
            values[key] = f"$(outputs.{artifact}.uri)"
        function: JsonObject = {"name": name, "type": leaf.type.function}
        if leaf.version is not None:
            function["version"] = leaf.version
        return function | ({"parameters": values} if values else {})

    def _read(self, step: Step, artifact: str) -> str:
        plain = re.sub(r"[^-A-Za-z0-9_]", "-", artifact)
        plain = plain if plain[:1].isalpha() else f"in-{plain}"
        name = _unused(plain, f"{step.name}-{plain}", [there["name"] for there in self.inputs])
        given = step.artifacts.get(artifact)
        declared = named(step.template, "inputs", "artifacts")[artifact]
        if given is not None:
            self.given_artifacts.append(copy.deepcopy(given) | {"name": name})
            declared = {key: declared[key] for key in ("name", "path") if key in declared}
        self.inputs.append(self._placed(step, declared, name))
        self.chain["inputs"].append({"name": name})
        return name

    def _placed(self, step: Step, declared: JsonObject, name: str) -> JsonObject:
        """Return an artifact with a path that no other one has: Argo wants one, though no file is made of it."""
        path = str(declared.get("path") or f"/tmp/{name}")
        while path in self._paths or is_unknown(path):
            path = f"/tmp/accelchain/{len(self._paths)}/{name}"
        self._paths.add(path)
        placed: JsonObject = inlined(step, copy.deepcopy(declared), self._texts[step.name])
        return placed | {"name": name, "path": path}

    def _result(self, parameter: JsonObject) -> JsonObject:
        kept = {key: value for key, value in parameter.items() if key not in ("value", "valueFrom")}
        default = (parameter.get("valueFrom") or {}).get("default")
        value_from = {"supplied": {}} | ({} if default is None else {"default": default})
        result: JsonObject = inlined(
            self.members[-1], kept | {"valueFrom": value_from}, self._texts[self.members[-1].name]
        )
        return result


def _leaf(step: Step) -> Leaf:
    assert step.leaf is not None, f"rule 1 let '{step.name}' pass"
    return step.leaf


def _connections(first: Step, second: Step, from_: str, to: str) -> Iterator[JsonObject]:
    ports = {artifact: port for port, artifact in _leaf(first).outputs.items()}
    for port, artifact in _leaf(second).inputs.items():
        source = second.source(artifact)
        assert source is not None, f"rule 7 let '{second.name}' pass"
        yield {"from": f"{from_}.{ports[source[1]]}", "to": f"{to}.{port}"}


def _check(chain: Chain, given: JsonObject, types: Sequence[FunctionType]) -> None:
    """Check the chain as ``accelchain validate`` does, with unknown values for what Argo fills in."""
    known = copy.deepcopy(given)
    for function in known["functions"]:
        for name, value in function.get("parameters", {}).items():
            if is_unknown(value):
                function["parameters"][name] = "$(parameters.unknown)"
    known["parameters"] = [{"name": "unknown"}]
    for problem in check_chain(FunctionChainSpec.model_validate(known), types, "chain"):
        raise NoChainError(_told(chain, problem))


def _told(chain: Chain, problem: Problem) -> Stop:
    found = re.match(r"chain\.(functions|connections)\[(\d+)\](?:\.parameters\.(.+))?", problem.path)
    at = min(int(found[2]) + (found[1] == "connections"), len(chain.members) - 1) if found else 0
    edge = problem.reason == "InputNotConnected" or bool(found and found[1] == "connections")
    which = f"its parameter '{found[3]}': " if found and found[3] else ""
    return Stop(7 if edge else 13, chain.members[at].name, which + problem.message)


def _function_names(steps: Iterable[str]) -> list[str]:
    """Return names for functions: as those of the steps, in small letters."""
    names: list[str] = []
    for step in steps:
        plain = re.sub(r"[^-a-z0-9]", "-", step.lower()).strip("-")[:_LONGEST].strip("-") or "step"
        names.append(_unused(plain, f"{plain[: _LONGEST - 4]}-{len(names) + 1}", names))
    return names


def _unused(name: str, other: str, taken: Iterable[str]) -> str:
    there, number, found = set(taken), 2, name
    while found in there:
        found, other, number = other, f"{name}-{number}", number + 1
    return found


def _name(first: str, last: str) -> str:
    name = f"{first}-to-{last}" if first != last else f"{last}-flow"
    return re.sub(r"[^-A-Za-z0-9]", "-", name)[: _LONGEST - 4].strip("-")


def _duration(seconds: float, field: str) -> str | int:
    if field == "timeout":
        return f"{seconds:g}s" if seconds < 1e6 else f"{seconds:.0f}s"
    return max(1, round(seconds))


def _without_empty(fields: JsonObject) -> JsonObject:
    return {field: listed for field, listed in fields.items() if listed}
