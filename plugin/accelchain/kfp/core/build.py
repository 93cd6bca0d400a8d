# SPDX-License-Identifier: Apache-2.0
"""From members to a DataFlow: functions, connections, and the interface of the task that takes their place."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from accelchain.api.function_chain import FunctionChainSpec
from accelchain.api.function_type import FunctionType, Port
from accelchain.api.parameter import ParameterDeclaration
from accelchain.chain.resolve import check_chain
from accelchain.kfp.core.graph import producer
from accelchain.kfp.core.literals import cast, inputs_within, is_placeholder, renamed_within
from accelchain.kfp.core.member import Member
from accelchain.kfp.core.names import fresh, identifier
from accelchain.kfp.core.outputs import Output
from accelchain.kfp.core.payload import Payload
from accelchain.kfp.core.platform import see_one_node
from accelchain.kfp.core.report import JsonObject, Stop

TTL_SECONDS: Final = 3600
"""How long a flow that ended is there to be looked at."""
_LOADS = {"frames": "load-frames", "detections": "load-detections"}
_SAVES = {"frames": "save-frames", "detections": "save-detections"}
_ENDINGS = {"encode-video": ".mp4", "write-detections": ".jsonl"}
"""Endings of files by which their readers know what they are."""
_PAGES = {"metrics": "system.Metrics", "report": "system.HTML", "summary": "system.Markdown"}
_MOST_FUNCTIONS = 64
_KINDS: Final = {
    "integer": ("NUMBER_INTEGER", "NUMBER_DOUBLE"),
    "number": ("NUMBER_INTEGER", "NUMBER_DOUBLE"),
    "string": ("STRING",),
    "boolean": ("BOOLEAN",),
}
"""What KFP calls the types of a function's parameters; it has whole numbers as doubles too."""
_REFERENCE: Final = "$("
"""How references of a DataFlow begin."""
_PATH = re.compile(r"spec\.(functions|connections)\[(\d+)\]\.?(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A task that launches a DataFlow: what it is told, and what it takes and gives."""

    payload: Payload
    inputs: Mapping[str, Mapping[str, tuple[JsonObject, JsonObject | None]]]
    """``parameters`` and ``artifacts`` that come in anew: name → where from, definition (None: only texts hold it)."""
    outputs: Mapping[str, Mapping[str, JsonObject]]
    """Definitions of ``parameters`` and ``artifacts`` that go out."""
    renamed: Mapping[Output, str]
    """Outputs of members → the launcher's names for them."""


def build(
    name: str,
    members: Sequence[Member],
    used: Collection[Output],
    chain: JsonObject,
    types: Sequence[FunctionType],
    names: Mapping[Output, str] | None = None,
) -> Launch:
    """Return the task that takes the place of members.

    Args:
        name: of the chain.
        members: in an order in which each comes after those that feed it.
        used: outputs that others need.
        chain: options of the chain, as in a mark.
        types: all functions.
        names: what outputs are called where the task replaces a whole graph: its inputs and outputs keep their names.

    Raises:
        Stop: they can't be one DataFlow.
    """
    builder = _Builder(name, members, set(used), chain, types, names)
    return builder.build()


@dataclass
class _Builder:
    name: str
    members: Sequence[Member]
    used: set[Output]
    chain: JsonObject
    types: Sequence[FunctionType]
    names: Mapping[Output, str] | None
    functions: list[JsonObject] = field(default_factory=list)
    connections: list[JsonObject] = field(default_factory=list)
    rules: list[JsonObject] = field(default_factory=list)
    parameters: dict[str, tuple[str, ParameterDeclaration]] = field(default_factory=dict)
    """Chain's parameter → the launcher's input, what it is."""
    addresses: dict[str, dict[str, JsonObject]] = field(default_factory=lambda: {"inputs": {}, "outputs": {}})
    """Chain's inputs and outputs → payload, or ``{"uri": literal}``."""
    given: dict[str, dict[str, tuple[JsonObject, JsonObject | None]]] = field(
        default_factory=lambda: {"parameters": {}, "artifacts": {}}
    )
    made: dict[str, dict[str, JsonObject]] = field(default_factory=lambda: {"parameters": {}, "artifacts": {}})
    renamed: dict[Output, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    loads: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Function → the task that it is of."""

    def build(self) -> Launch:
        self._by_name = {member.name: member for member in self.members}
        self._function = {member.name: self._fresh_function(member.name, member.name) for member in self.members}
        see_one_node(self.chain.get("placement") or {}, {member.name: member.placement for member in self.members})
        for member in self.members:
            self._add(member)
        for member in self.members:
            self._give(member)
        if len(self.functions) > _MOST_FUNCTIONS:
            raise Stop(
                "size",
                self.members[-1].name,
                f"the chain has {len(self.functions)} functions, at most {_MOST_FUNCTIONS} fit: make two chains of it.",
            )
        spec = self._spec()
        self._check(spec["chain"])
        pages = {page: fresh(page, self._taken()) for page in _PAGES}
        for page, own in pages.items():
            self.made["artifacts"][own] = {
                "artifactType": {"schemaTitle": _PAGES[page], "schemaVersion": "0.0.1"},
            }
        payload = Payload(
            name=self.name,
            spec=spec,
            parameters={own: {"input": source} for own, (source, _) in self.parameters.items()},
            inputs={own: place for own, place in self.addresses["inputs"].items() if "uri" not in place},
            outputs={own: place for own, place in self.addresses["outputs"].items() if "uri" not in place},
            results=self.results,
            types={name: str(self.made["parameters"][name]["parameterType"]) for name in self.results},
            pages=pages,
            tasks=[member.name for member in self.members],
        )
        return Launch(payload=payload, inputs=self.given, outputs=self.made, renamed=self.renamed)

    # what a function takes

    def _add(self, member: Member) -> None:
        function = self._function[member.name]
        self.owners[function] = member.name
        declared = {parameter.name: parameter for parameter in member.role.type.spec.parameters}
        values: dict[str, Any] = {}
        for name, source in member.role.parameters.items():
            if source.kind == "value":
                self._refuse_references(member, name, source.value)
                values[name] = source.value
            elif (value := self._value(member, source.value, declared[name])) is not None:
                values[name] = value
        for name, source in member.role.addresses.items():
            if (value := self._address(member, name, source.kind, source.value, declared[name])) is not None:
                values[name] = value
        for port in member.role.type.spec.inputs:
            self._feed(member, port)
        made: JsonObject = {"name": function, "type": member.role.type.function}
        if member.role.version is not None:
            made["version"] = member.role.version
        self.functions.append(made | ({"parameters": values} if values else {}))
        if member.placement:
            self.rules.append({"function": function, **member.placement})

    def _value(self, member: Member, key: str, declaration: ParameterDeclaration) -> Any:
        """Return a parameter's value: a literal, a reference to a chain's parameter, or None where there is none."""
        source = member.parameters.get(key)
        definition = member.interface.input_parameters[key]
        kind = definition.get("parameterType")
        if kind and kind not in _KINDS[declaration.type]:
            message = f"its parameter '{key}' is a {kind}, and '{declaration.name}' of its function is of type"
            raise Stop("type", member.name, f"{message} {declaration.type}: declare it so, or map another one.")
        if source is None:
            constant = definition.get("defaultValue")
            return None if constant is None else self._literal(member, key, constant, declaration)
        if self._inner(source):
            raise Stop("parameter", member.name, _same_time(key))
        if "taskFinalStatus" in source:
            raise Stop("parameter", member.name, f"its parameter '{key}' is a task's final status: leave it out.")
        constant = (source.get("runtimeValue") or {}).get("constant")
        if _stays(constant):
            return self._literal(member, key, constant, declaration)
        incoming = self._incoming(member, "parameters", key, self._carried(member, key, source))
        return f"$(parameters.{self._parameter(incoming, key, member, declaration)})"

    def _literal(self, member: Member, key: str, constant: Any, declaration: ParameterDeclaration) -> Any:
        self._refuse_references(member, key, constant)
        try:
            return cast(constant, declaration)
        except ValueError as error:
            raise Stop("type", member.name, f"its parameter '{key}': {error}: correct it.") from None

    def _parameter(self, source: str, key: str, member: Member, declaration: ParameterDeclaration) -> str:
        for own, (other, known) in self.parameters.items():
            if other == source and (known.type, known.default) == (declaration.type, declaration.default):
                return own
        own = fresh(
            identifier(key if self.names is None else source), self.parameters, identifier(f"{member.name}-{key}")
        )
        self.parameters[own] = (source, declaration)
        return own

    def _address(
        self, member: Member, name: str, kind: str, value: Any, declaration: ParameterDeclaration
    ) -> str | None:
        """Return a reference to an input or output of the chain; None where the task gives no address."""
        side = "inputs" if declaration.format == "uri-input" else "outputs"
        if kind == "output":
            launched = self._outgoing(Output(member.name, value), "artifacts", member.interface.output_artifacts[value])
            place: JsonObject = {"artifact": launched}
            if ending := _ENDINGS.get(member.role.type.function):
                place["ending"] = ending
        elif kind == "value":
            place = {"uri": value}
        else:
            found = self._incoming_address(member, kind, value)
            if found is None:
                return None
            place = found
        known = self.addresses[side]
        for own, other in known.items():
            if other == place and side == "inputs":
                return f"$(inputs.{own}.uri)"
        own = fresh(identifier(str(value) if kind != "value" else name), known, identifier(f"{member.name}-{name}"))
        known[own] = place
        return f"$({side}.{own}.uri)"

    def _incoming_address(self, member: Member, kind: str, key: str) -> JsonObject | None:
        is_artifact = kind == "input"
        source = (member.artifacts if is_artifact else member.parameters).get(key)
        if source is None:
            default = None if is_artifact else member.interface.input_parameters[key].get("defaultValue")
            return None if default is None else {"uri": str(default)}
        if self._inner(source):
            raise Stop(
                "parameter",
                member.name,
                f"its '{key}' is a file of another task of the chain, whose functions run at the same time: "
                "leave one of the two out of the chain.",
            )
        constant = (source.get("runtimeValue") or {}).get("constant")
        if _stays(constant):
            return {"uri": str(constant)}
        if is_artifact:
            self._refuse_lists(member, key)
            return {"artifact": self._incoming(member, "artifacts", key, source)}
        return {"parameter": self._incoming(member, "parameters", key, self._carried(member, key, source))}

    def _feed(self, member: Member, port: Port) -> None:
        """Connect an input port with what gives it frames."""
        key = member.role.inputs.get(port.name)
        source = None if key is None else member.artifacts.get(key) or member.parameters.get(key)
        target = f"{self._function[member.name]}.{port.name}"
        if key is None or source is None:
            if not port.optional:
                raise Stop("port", member.name, f"nothing feeds port '{port.name}' of its function.")
            return
        if made := self._inner(source):
            other = self._by_name[made.task]
            ports = [name for name, own in other.role.outputs.items() if own == made.key]
            if not ports:
                raise Stop(
                    "type",
                    member.name,
                    f"'{made.key}' of task '{made.task}' feeds port '{port.name}', and is no port of "
                    f"function '{other.role.type.function}': map it in the mark's outputs.",
                )
            self.connections.append({"from": f"{self._function[made.task]}.{ports[0]}", "to": target})
            return
        if key not in member.artifacts:
            raise Stop(
                "boundary", member.name, f"its '{key}' comes from outside of the chain as a parameter: only files can."
            )
        self._refuse_lists(member, key)
        self.connections.append({"from": f"{self._load(member, key, source, port)}", "to": target})

    def _load(self, member: Member, key: str, source: JsonObject, port: Port) -> str:
        """Return the port of a function that reads a file from outside."""
        type_ = _LOADS.get(port.type)
        if type_ is None:
            raise Stop(
                "boundary",
                member.name,
                f"its '{key}' comes from outside of the chain, which a port of type '{port.type}' can't: "
                "put the task that makes it into the chain.",
            )
        incoming = self._incoming(member, "artifacts", key, source)
        if incoming not in self.loads:
            function = self._fresh_function(f"load-{key}", member.name)
            own = fresh(identifier(key), self.addresses["inputs"], identifier(f"{member.name}-{key}"))
            self.addresses["inputs"][own] = {"artifact": incoming}
            self.functions.append({"name": function, "type": type_, "parameters": {"uri": f"$(inputs.{own}.uri)"}})
            self.loads[incoming] = f"{function}.{port.type}"
        return self.loads[incoming]

    # what a function gives

    def _give(self, member: Member) -> None:
        interface, role = member.interface, member.role
        ports = {own: port for port, own in reversed(tuple(role.outputs.items()))}
        addresses = {source.value for source in role.addresses.values() if source.kind == "output"}
        for output in sorted(o for o in self.used if o.task == member.name):
            key = output.key
            if key in role.results and key in interface.output_parameters:
                launched = self._outgoing(output, "parameters", interface.output_parameters[key])
                self.results[launched] = f"{self._function[member.name]}.{role.results[key]}"
            elif key in ports and key in interface.output_artifacts:
                self._save(member, key, ports[key])
            elif key in ports:
                raise Stop(
                    "boundary", member.name, f"its output '{key}' leaves the chain as a parameter: only files can."
                )
            elif key not in addresses:
                raise Stop(
                    "interface",
                    member.name,
                    f"its output '{key}', which is needed outside of the chain, is nothing of function "
                    f"'{role.type.function}': map it in the mark's outputs or results.",
                )

    def _save(self, member: Member, key: str, port_name: str) -> None:
        port = next(port for port in member.role.type.spec.outputs if port.name == port_name)
        type_ = _SAVES.get(port.type)
        if type_ is None:
            raise Stop(
                "boundary",
                member.name,
                f"its output '{key}' is needed outside of the chain, which a port of type '{port.type}' can't give: "
                "put the task that needs it into the chain.",
            )
        launched = self._outgoing(Output(member.name, key), "artifacts", member.interface.output_artifacts[key])
        function = self._fresh_function(f"save-{key}", member.name)
        own = fresh(identifier(key), self.addresses["outputs"], identifier(f"{member.name}-{key}"))
        self.addresses["outputs"][own] = {"artifact": launched}
        self.functions.append({"name": function, "type": type_, "parameters": {"uri": f"$(outputs.{own}.uri)"}})
        self.connections.append({"from": f"{self._function[member.name]}.{port_name}", "to": f"{function}.{port.type}"})

    # names

    def _inner(self, source: JsonObject) -> Output | None:
        made = producer(source)
        return Output(*made) if made and made[0] in self._by_name else None

    def _incoming(self, member: Member, kind: str, key: str, source: JsonObject) -> str:
        """Return the launcher's input for where something comes from."""
        direct = source.get("componentInputParameter") or source.get("componentInputArtifact")
        if self.names is not None and direct is not None:
            if "parameterExpressionSelector" in source:
                raise Stop(
                    "parameter", member.name, f"its '{key}' is a part of an input: hand over the part by itself."
                )
            return str(direct)
        interface = member.interface
        defined = (interface.input_parameters if kind == "parameters" else interface.input_artifacts)[key]
        for own, (other, definition) in self.given[kind].items():
            if definition is not None and _same(other, source) and _kind(definition) == _kind(defined):
                return own
        own = f"{member.name}--{key}"
        self.given[kind][own] = (source, defined)
        return own

    def _carried(self, member: Member, key: str, source: JsonObject) -> JsonObject:
        """Return where a parameter comes from, whose text may hold other inputs: the launcher gets those as well."""
        constant = (source.get("runtimeValue") or {}).get("constant")
        if not is_placeholder(constant):
            return source
        text = str(constant)
        names = {}
        for name in inputs_within(text):
            other = member.parameters.get(name)
            if other is None:
                continue
            if self._inner(other):
                raise Stop("parameter", member.name, _same_time(key))
            if self.names is None:
                self.given["parameters"][name] = (other, None)
            elif set(other) == {"componentInputParameter"}:
                names[name] = str(other["componentInputParameter"])
            else:
                raise Stop("parameter", member.name, f"its '{key}' holds a part of an input: hand it over by itself.")
        return {**source, "runtimeValue": {"constant": renamed_within(text, names)}}

    def _outgoing(self, output: Output, kind: str, definition: JsonObject) -> str:
        """Return the launcher's output for one of a member's."""
        if output not in self.renamed:
            named = (self.names or {}).get(output)
            own = named or fresh(f"{output.task}--{output.key}", self._taken())
            self.made[kind][own] = definition
            self.renamed[output] = own
        return self.renamed[output]

    def _taken(self) -> set[str]:
        return {*self.made["parameters"], *self.made["artifacts"], *(self.names or {}).values()}

    def _fresh_function(self, name: str, task: str) -> str:
        label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "function"
        own = fresh(label, self.owners)
        self.owners[own] = task
        return own

    def _refuse_references(self, member: Member, key: str, literal: Any) -> None:
        if _REFERENCE in str(literal):
            message = f"its parameter '{key}' holds $(…), which a DataFlow replaces: make it an input of the pipeline."
            raise Stop("parameter", member.name, message)

    def _refuse_lists(self, member: Member, key: str) -> None:
        if member.interface.input_artifacts[key].get("isArtifactList"):
            raise Stop("boundary", member.name, f"its '{key}' is a list of artifacts: a function takes one.")

    # the flow

    def _spec(self) -> JsonObject:
        chain: JsonObject = {
            "parameters": [_declared(own, declaration) for own, (_, declaration) in self.parameters.items()],
            "inputs": [{"name": own} for own in self.addresses["inputs"]],
            "outputs": [{"name": own} for own in self.addresses["outputs"]],
            "functions": self.functions,
            "connections": self.connections,
        }
        spec: JsonObject = {"chain": {key: value for key, value in chain.items() if value}, "mode": "Batch"}
        for side, places in self.addresses.items():
            if literal := {own: {"uri": place["uri"]} for own, place in places.items() if "uri" in place}:
                spec[side] = literal
        if rate := self._rate():
            spec["rate"] = rate
        everywhere = self.chain.get("placement")
        if rules := [*([dict(everywhere)] if everywhere else ()), *self.rules]:
            spec["placement"] = {"rules": rules}
        if retries := int(self.chain.get("retries") or 0):
            spec["retries"] = {"limit": retries}
        if deadline := int(self.chain.get("activeDeadlineSeconds") or 0):
            spec["activeDeadlineSeconds"] = deadline
        return spec | {"ttlSecondsAfterFinished": TTL_SECONDS}

    def _rate(self) -> JsonObject | None:
        own = {self._function[m.name]: m.role.rate for m in self.members if m.role.rate is not None}
        whole = self.chain.get("rate") or max(own.values(), default=None)
        if whole is None:
            return None
        functions = [{"function": function, "framesPerSecond": rate} for function, rate in own.items()]
        return {"framesPerSecond": whole, **({"functions": functions} if functions else {})}

    def _check(self, chain: JsonObject) -> None:
        """See that the operators would take the chain.

        Raises:
            Stop: they would not.
        """
        try:
            spec = FunctionChainSpec.model_validate(chain)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Stop("chain", self.members[0].name, f"{where}: {first['msg']}.") from None
        for problem in check_chain(spec, self.types, "spec"):
            found = _PATH.fullmatch(problem.path)
            task, field = self.members[0].name, problem.path.removeprefix("spec.")
            if found and found[1] == "functions":
                task, field = self.owners[self.functions[int(found[2])]["name"]], found[3]
            elif found:
                edge = self.connections[int(found[2])]
                task, field = self.owners[edge["to"].split(".")[0]], f"{edge['from']} → {edge['to']}"
            rule = "type" if problem.reason == "PortTypeMismatch" else "chain"
            raise Stop(rule, task, f"{field}: {problem.message}" if field else problem.message)


def _stays(constant: Any) -> bool:
    """Tell whether a constant is a literal of the flow: else it comes at run time, when nothing in it is replaced."""
    return constant is not None and not is_placeholder(constant) and _REFERENCE not in str(constant)


def _same_time(key: str) -> str:
    return (
        f"its parameter '{key}' comes from a task of the chain, whose functions run at the same time: "
        "leave one of the two out of the chain."
    )


def _declared(name: str, declaration: ParameterDeclaration) -> JsonObject:
    found: JsonObject = {"name": name, "type": declaration.type}
    return found if declaration.default is None else found | {"default": declaration.default}


def _same(one: JsonObject, other: JsonObject) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _kind(definition: JsonObject) -> tuple[Any, Any]:
    return definition.get("parameterType"), (definition.get("artifactType") or {}).get("schemaTitle")
