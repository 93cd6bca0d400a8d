# SPDX-License-Identifier: Apache-2.0
"""What an author writes under ``plugin: {accelchain: …}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from accelchain.argo.core.deadline import parse_duration
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.spec import parse_spec
from accelchain.chain.problems import choose

__all__ = ["KEY", "Body", "JsonObject", "StepError", "is_ours", "parse_body", "parse_duration", "parse_identity"]

JsonObject = dict[str, Any]
KEY = "accelchain"
"""The plugin's name, and the one key of a body that is ours."""
PATH = f"plugin.{KEY}"
FIELDS = ("node", "attempt", "dataflow", "completeWhen", "owner", "results")

_MAX_NODE = 4096
"""Characters: a loop's items are part of its nodes' names."""
_ATTEMPT = re.compile(r"\d{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Body:
    """A body that fits."""

    node: str
    """Full name of the Workflow's node; that of the parent where it is tried again."""
    attempt: int | None
    """None: no retryStrategy."""
    spec: JsonObject
    """The DataFlow's spec, as Kubernetes sees it; addresses of artifacts are not in it yet."""
    complete_when: Literal["Finished", "Running"]
    owned: bool
    """The flow ends with its Workflow."""
    results: Mapping[str, str]
    """Sources of output parameters, by the parameter's name."""


def is_ours(template: JsonObject) -> bool:
    """Tell whether a template is for us; anything may be given."""
    plugin = template.get("plugin") if isinstance(template, dict) else None
    return isinstance(plugin, dict) and KEY in plugin


def parse_identity(template: JsonObject) -> tuple[str, int | None]:
    """Return the node's name and the attempt of a template that is ours, whatever else is wrong with it.

    Raises:
        StepError: one of them does not fit.
    """
    body = template["plugin"][KEY]
    if not isinstance(body, dict):
        raise StepError(PATH, "this must be a mapping with node and dataflow.")
    return _node(body.get("node")), _attempt(body.get("attempt"))


def parse_body(template: JsonObject) -> Body:
    """Read a template's body.

    Args:
        template: the template as Argo hands it over, with its variables replaced; ``is_ours``.

    Raises:
        StepError: it does not fit.
    """
    plugin = template["plugin"]
    if len(plugin) > 1:
        others = ", ".join(sorted(key for key in plugin if key != KEY))[:80]
        raise StepError("plugin", f"a body has one key: take {others} out.")
    body = plugin[KEY]
    for key in body if isinstance(body, dict) else ():
        if key not in FIELDS:
            raise StepError(f"{PATH}.{key}"[:200], f"unknown field: {choose(str(key), FIELDS)}")
    node, attempt = parse_identity(template)
    if attempt is None and template.get("retryStrategy"):
        raise StepError(f"{PATH}.attempt", 'the template has a retryStrategy: write attempt: "{{retries}}".')
    complete_when = _complete_when(body.get("completeWhen"))
    owner = body.get("owner") or "Workflow"
    if owner not in ("Workflow", "None"):
        raise StepError(f"{PATH}.owner", "choose Workflow or None.")
    if owner == "None" and complete_when == "Finished":
        raise StepError(f"{PATH}.owner", "None is for a flow that outlives its step: write completeWhen: Running too.")
    spec = parse_spec(body.get("dataflow"), f"{PATH}.dataflow")
    results = _results(body.get("results"))
    return Body(node, attempt, spec, complete_when, owner == "Workflow", results)


def _node(node: Any) -> str:
    path = f"{PATH}.node"
    if not isinstance(node, str) or not node:
        raise StepError(path, 'this field is missing: write node: "{{node.name}}".')
    if node.startswith("{{"):
        raise StepError(path, f'Argo knows no such variable ({node[:80]}): write node: "{{{{node.name}}}}".')
    if len(node) > _MAX_NODE:
        raise StepError(path, f"the node's name has more than {_MAX_NODE} characters: loop over shorter items.")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in node):
        raise StepError(path, "this is no valid text.")
    return node


def _attempt(attempt: Any) -> int | None:
    """Return the attempt's number; without a retryStrategy Argo leaves ``{{retries}}`` as it is."""
    if attempt is None or attempt == "":
        return None
    if isinstance(attempt, str) and attempt.startswith("{{"):
        return None
    if isinstance(attempt, bool) or not isinstance(attempt, int | str) or not _ATTEMPT.fullmatch(str(attempt)):
        raise StepError(f"{PATH}.attempt", 'this is no number: write attempt: "{{retries}}".')
    return int(attempt)


def _complete_when(given: Any) -> Literal["Finished", "Running"]:
    match given:
        case None | "" | "Finished":
            return "Finished"
        case "Running":
            return "Running"
    raise StepError(f"{PATH}.completeWhen", "choose Finished or Running.")


def _results(results: Any) -> Mapping[str, str]:
    if results is None:
        return {}
    if not isinstance(results, dict):
        raise StepError(f"{PATH}.results", "this must be a mapping of output parameters to their sources.")
    for name, source in results.items():
        if not isinstance(source, str) or not source:
            raise StepError(f"{PATH}.results.{name}"[:200], "give the name of a source, such as write.detections.")
    return results
