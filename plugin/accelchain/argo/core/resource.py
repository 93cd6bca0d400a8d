# SPDX-License-Identifier: Apache-2.0
"""Plugin templates as ``resource:`` templates, for clusters that allow neither the plugin nor the task-set operator.

One ordinary pod a step creates the DataFlow and polls it. What a step can't do that way is refused, never left out.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from accelchain.api.common import API_VERSION
from accelchain.argo.core.body import KEY, Body, StepError, is_ours, parse_body
from accelchain.argo.core.identity import (
    COMPLETE_WHEN,
    NODE_ATTEMPT,
    NODE_ID,
    NODE_NAME,
    UID_LABEL,
    WORKFLOW_LABEL,
)
from accelchain.argo.core.outputs import check_outputs
from accelchain.argo.core.unknown import TAG, JsonObject, Location, Wanted, as_if_started, is_unknown

SUCCEEDED: Final = "status.phase == Succeeded"
RUNS: Final = "status.phase in (Running, Succeeded)"
FAILED: Final = "status.phase in (Failed, Refused)"

# A node's id ends like the name of its pod, and a pod of the first node is named like the Workflow
# (argoproj/argo-workflows v4.1.2, workflow/util/pod_name.go:GeneratePodName, Workflow.NodeID).
_NODE_ID: Final = (
    "{{=pod.name == workflow.name ? workflow.name : workflow.name + '-' + sprig.last(sprig.splitList('-', pod.name))}}"
)
_FREE_TEXT: Final = re.compile(
    r"(inputs\.parameters|workflow\.parameters|workflow\.labels|workflow\.annotations|workflow\.outputs\.parameters)\..+"
    r"|node\.name"
)
"""Variables whose value may hold a quote, a backslash or a line's end; names and numbers of Argo's own can't."""
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_UNQUOTED: Final = "\1"
"""Frames a whole value that is written without quotes; no YAML holds this character."""
_RAW: Final = "\2"
"""Frames a tag within a text: JSON's escapes would end up in Argo's expression."""


def resource_template(template: JsonObject) -> JsonObject:
    """Return a template that does the same by Argo's ``resource``.

    Args:
        template: a template with our plugin body; it is not changed.

    Raises:
        StepError: the body is wrong, or the step needs what a resource template has not.
    """
    if not is_ours(template):
        raise StepError("plugin", f"this is no template of ours: it has no plugin.{KEY}.")
    started, wanted = as_if_started(template)
    body = parse_body(started)
    raw = template["plugin"][KEY]
    _refuse_artifacts(template)
    check_outputs(template, body, body.spec)
    result = {key: value for key, value in copy.deepcopy(template).items() if key not in ("plugin", "outputs")}
    result["resource"] = {
        "action": "create",
        "successCondition": SUCCEEDED if body.complete_when == "Finished" else RUNS,
        "failureCondition": FAILED,
        "manifest": _text(_flow(body, raw, bool(template.get("retryStrategy"))), wanted),
    }
    if outputs := _outputs(template, body):
        result["outputs"] = outputs
    return result


def _flow(body: Body, raw: JsonObject, retried: bool) -> JsonObject:
    """Return the DataFlow, with Argo's variables in it.

    Its name is generated: ``argo retry`` starts the same pod again while the flow that failed is still there.
    """
    annotations = {NODE_ID: _NODE_ID, NODE_NAME: raw["node"], COMPLETE_WHEN: body.complete_when}
    if retried:  # without a retryStrategy Argo leaves the variable as it is
        annotations[NODE_ATTEMPT] = str(raw["attempt"])
    metadata: JsonObject = {
        "generateName": "{{pod.name}}-",
        "labels": {WORKFLOW_LABEL: "{{workflow.name}}", UID_LABEL: "{{workflow.uid}}"},
        "annotations": annotations,
    }
    if body.owned:
        # by hand: Argo's setOwnerReference blocks the owner's deletion, which asks for more rights
        metadata["ownerReferences"] = [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": "{{workflow.name}}",
                "uid": "{{workflow.uid}}",
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ]
    return {"apiVersion": API_VERSION, "kind": "DataFlow", "metadata": metadata, "spec": raw["dataflow"]}


def _text(flow: JsonObject, wanted: Mapping[Location, Wanted]) -> str:
    """Return the manifest: JSON, in which every value of a variable is written so that it can't end its string."""
    marked = _marked(flow, {("spec", *at): kind for at, kind in wanted.items()}, ())
    text = json.dumps(marked, indent=2, ensure_ascii=False)
    text = re.sub(r'"\\u0001(.*?)\\u0001"', _unescaped, text)
    return re.sub(r"\\u0002(.*?)\\u0002", _unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    return str(json.loads(f'"{found[1]}"'))


def _marked(value: Any, wanted: Mapping[Location, Wanted], at: Location) -> Any:
    if isinstance(value, dict):
        return {key: _marked(child, wanted, (*at, key)) for key, child in value.items()}
    if isinstance(value, list):
        return [_marked(child, wanted, (*at, i)) for i, child in enumerate(value)]
    if not is_unknown(value):
        return value
    kind = wanted.get(at, "text")
    if kind == "text":
        return TAG.sub(_escaping, value)
    tag = TAG.fullmatch(value)
    if tag is None:
        path = ".".join(map(str, at[1:]))
        raise StepError(
            f"plugin.{KEY}.dataflow.{path}", f"'{value}' makes no {kind}: give one variable and nothing else."
        )
    inner = _expression(tag[1])
    written = f"{{{{=toJson(asFloat({inner}))}}}}" if kind == "number" else f"{{{{={inner}}}}}"
    return f"{_UNQUOTED}{written}{_UNQUOTED}"


def _escaping(tag: re.Match[str]) -> str:
    """Return a tag whose value comes out as the inside of a JSON string."""
    inner = tag[1].strip()
    if not inner.startswith("=") and not _FREE_TEXT.fullmatch(inner):
        return f"{_RAW}{tag[0]}{_RAW}"
    return f"{_RAW}{{{{=toJson(string({_expression(tag[1])}))[1:-1]}}}}{_RAW}"


def _expression(tag: str) -> str:
    """Return what is between the braces as an expression; dots in names part them, as Argo does."""
    inner = tag.strip()
    if inner.startswith("="):
        return inner[1:].strip()
    first, *rest = inner.split(".")
    return first + "".join(f".{part}" if _WORD.fullmatch(part) else f"['{part}']" for part in rest)


def _refuse_artifacts(template: JsonObject) -> None:
    for i, artifact in enumerate((template.get("inputs") or {}).get("artifacts") or ()):
        name = artifact.get("name", "")
        raise StepError(
            f"inputs.artifacts[{i}]",
            f"a resource template can't hand artifact '{name}' to a DataFlow: remove it, and give its address in "
            f"plugin.{KEY}.dataflow.inputs.{name}.uri (s3://bucket/key of the step that writes it).",
        )
    for i, artifact in enumerate((template.get("outputs") or {}).get("artifacts") or ()):
        name = artifact.get("name", "")
        raise StepError(
            f"outputs.artifacts[{i}]",
            f"a resource template has no artifact '{name}' to give: remove it, and give an address in "
            f"plugin.{KEY}.dataflow.outputs.{name}.uri; an output parameter '{name}' holds it for later steps.",
        )


def _outputs(template: JsonObject, body: Body) -> JsonObject:
    outputs: JsonObject = copy.deepcopy(template.get("outputs") or {})
    for i, parameter in enumerate(outputs.get("parameters") or ()):
        name = str(parameter.get("name", ""))
        source = body.results.get(name, name)
        default = (parameter.get("valueFrom") or {}).get("default")
        if is_unknown(default):
            raise StepError(
                f"outputs.parameters[{i}].valueFrom.default",
                "a resource template can't take a variable for a default: write the value.",
            )
        parameter["valueFrom"] = _value_from(source, default)
    return {key: value for key, value in outputs.items() if value}


def _value_from(source: str, default: Any) -> JsonObject:
    """Return how a source is read: by jq where there is something to reckon, or a value for what is missing."""
    json_path, jq = _paths(source)
    if default is None and json_path:
        return {"jsonPath": json_path}
    return {"jqFilter": f"({jq}) // {json.dumps('' if default is None else str(default))}"}


def _paths(source: str) -> tuple[str, str]:
    """Return where a source is in a DataFlow: as JSONPath (empty: it has none) and for jq."""
    plain = {
        "dataflow": "metadata.name",
        "namespace": "metadata.namespace",
        "frames": "status.progress.frames",
        "framesPerSecond": "status.progress.framesPerSecond",
    }
    if field := plain.get(source):
        return f"{{.{field}}}", f".{field}"
    if source == "seconds":
        return "", "try ((.status.completionTime | fromdate) - (.status.startTime | fromdate)) catch null"
    if source == "endpoint":
        return "", '[.status.workers[]? | .address as $address | .live[]? | "http://" + $address + .][0]'
    output = source.removeprefix("outputs.").removesuffix(".uri") if source.startswith("outputs.") else source
    if "." not in output:  # as function.parameter is written
        return f"{{.spec.outputs.{output}.uri}}", f".spec.outputs[{json.dumps(output)}].uri"
    name = json.dumps(source)
    return (
        f"{{.status.outputs.parameters[?(@.name=={name})].value}}",
        f"[.status.outputs.parameters[]? | select(.name == {name}) | .value][0]",
    )
