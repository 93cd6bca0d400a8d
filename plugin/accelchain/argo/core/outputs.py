# SPDX-License-Identifier: Apache-2.0
"""What a step hands on: output parameters, the result, and artifacts, out of a DataFlow's status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from accelchain.argo.core.artifacts import artifacts_of, told
from accelchain.argo.core.body import PATH, Body
from accelchain.argo.core.deadline import seconds_of
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.workflow import WorkflowView
from accelchain.chain.problems import choose

JsonObject = dict[str, Any]
RESULT_BYTES = 4096
"""A WorkflowTaskSet holds the results of all open steps, in 1.5 MB."""
FIXED = ("dataflow", "namespace", "frames", "seconds", "framesPerSecond", "endpoint")
"""Sources that every flow has."""


def check_outputs(template: JsonObject, body: Body, spec: JsonObject) -> None:
    """Check, before anything runs, that the flow can give what the template promises.

    Args:
        template: the template.
        body: its body.
        spec: the flow's spec, with the addresses of artifacts.

    Raises:
        StepError: a source that the chain doesn't have, or an artifact that can't be there in time.
    """
    names = set()
    for path, parameter in _parameters(template):
        names.add(parameter["name"])
        source = _source(parameter, body)
        if source is not None and not _exists(source, spec):
            known = [*FIXED, *(spec.get("outputs") or {}), *_functions(spec)]
            field = f"{PATH}.results.{parameter['name']}" if parameter["name"] in body.results else f"{path}.name"
            raise StepError(field, f"the chain has no output '{source[:80]}': {choose(source, known)}")
    for name in body.results:
        if name not in names:
            raise StepError(
                f"{PATH}.results.{name}"[:200],
                f"outputs.parameters declares no such parameter: add it there, or {choose(name, names)}",
            )
    if body.complete_when == "Running" and artifacts_of(template, "outputs"):
        raise StepError(
            "outputs.artifacts", "a step that completes when its flow runs has no artifacts yet: take them out."
        )


def outputs(template: JsonObject, body: Body, flow: JsonObject, workflow: WorkflowView | None) -> JsonObject:
    """Return the node's outputs in Argo's form: the template's own, filled in.

    Args:
        template: the template.
        body: its body.
        flow: the DataFlow, ended or (completeWhen Running) running.
        workflow: whose repository artifacts may lie in; None: unknown.

    Raises:
        StepError: the flow did not give a value, and the template has no default for it.
    """
    found: JsonObject = {"result": result(flow)}
    parameters = [
        {**parameter, "value": _value(path, parameter, body, flow)} for path, parameter in _parameters(template)
    ]
    addresses = flow["spec"].get("outputs") or {}
    artifacts = [
        told(artifact, path, addresses[artifact["name"]], workflow)
        for path, artifact in artifacts_of(template, "outputs")
        if artifact["name"] in addresses
    ]
    return found | ({"parameters": parameters} if parameters else {}) | ({"artifacts": artifacts} if artifacts else {})


def result(flow: JsonObject) -> str:
    """Return ``outputs.result``: what is known of a flow as JSON, of at most 4096 bytes."""
    document: JsonObject = {"dataflow": flow["metadata"]["name"]}
    document |= {name: json.loads(text) for name in FIXED[2:5] if (text := value_of(name, flow)) is not None}
    document["outputs"] = {name: a["uri"] for name, a in (flow["spec"].get("outputs") or {}).items()}
    document["results"] = _results(flow)
    text = _compact(document)
    for longest in ("results", "outputs"):
        if len(text) > RESULT_BYTES:
            del document[longest]
            text = _compact(document)
    return text


def _compact(document: JsonObject) -> str:
    return json.dumps(document, separators=(",", ":"))


def value_of(source: str, flow: JsonObject) -> str | None:
    """Return the value of a source as text; None: the flow gave none."""
    meta, status = flow["metadata"], flow.get("status") or {}
    addresses = flow["spec"].get("outputs") or {}
    output = source.removeprefix("outputs.").removesuffix(".uri") if source not in addresses else source
    if output in addresses and source in (output, f"outputs.{output}.uri"):
        uri: str = addresses[output]["uri"]
        return uri
    if source in ("dataflow", "namespace"):
        return str(meta["name" if source == "dataflow" else "namespace"])
    if source in ("frames", "framesPerSecond"):
        number = (status.get("progress") or {}).get(source)
        return None if number is None else str(number)
    if source == "seconds":
        start, end = status.get("startTime"), status.get("completionTime")
        return f"{seconds_of(end) - seconds_of(start):g}" if start and end else None
    if source == "endpoint":
        workers = status.get("workers") or ()
        live = [f"http://{w['address']}{w['live'][0]}" for w in workers if w.get("address") and w.get("live")]
        return live[0] if live else ""
    return _results(flow).get(source)


def _results(flow: JsonObject) -> dict[str, str]:
    given = ((flow.get("status") or {}).get("outputs") or {}).get("parameters") or ()
    return {parameter["name"]: parameter["value"] for parameter in given}


def _parameters(template: JsonObject) -> list[tuple[str, JsonObject]]:
    given = (template.get("outputs") or {}).get("parameters") or ()
    found = [(f"outputs.parameters[{i}]", parameter) for i, parameter in enumerate(given)]
    for path, parameter in found:
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str) or not parameter["name"]:
            raise StepError(f"{path}.name", "give the parameter a name.")
    return found


def _source(parameter: JsonObject, body: Body) -> str | None:
    """Return where a parameter's value comes from; None: it is in the template."""
    name = parameter["name"]
    if name not in body.results and parameter.get("value") is not None:
        return None
    return body.results.get(name, name)


def _value(path: str, parameter: JsonObject, body: Body, flow: JsonObject) -> str:
    source = _source(parameter, body)
    value = parameter["value"] if source is None else value_of(source, flow)
    if value is None:
        value = (parameter.get("valueFrom") or {}).get("default")
    if value is None:
        raise StepError(path, f"the flow gave no value for '{source}': give valueFrom.default for such a case.")
    return str(value)


def _exists(source: str, spec: JsonObject) -> bool:
    addresses: Mapping[str, Any] = spec.get("outputs") or {}
    if source in FIXED or source in addresses:
        return True
    if source.startswith("outputs.") and source.endswith(".uri"):
        return source.removeprefix("outputs.").removesuffix(".uri") in addresses
    function, dot, parameter = source.partition(".")
    return bool(function and dot and parameter) and ("chain" not in spec or function in _functions(spec))


def _functions(spec: JsonObject) -> list[str]:
    return [function["name"] for function in (spec.get("chain") or {}).get("functions") or ()]
