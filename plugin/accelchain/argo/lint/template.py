# SPDX-License-Identifier: Apache-2.0
"""One template of ours: its body, what it promises to hand on, and how it lives."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final

from accelchain.argo.core.artifacts import with_addresses
from accelchain.argo.core.body import KEY, PATH, Body, parse_body
from accelchain.argo.core.documents import Place
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.outputs import check_outputs
from accelchain.argo.core.unknown import TAG, JsonObject, as_if_started, is_unknown
from accelchain.argo.core.workflow import view
from accelchain.argo.lint.chain import DATAFLOW, check_chain, with_chain
from accelchain.argo.lint.finding import Known
from accelchain.argo.lint.life import check_life
from accelchain.argo.lint.repair import all_problems
from accelchain.chain.problems import choose

Told = tuple[str, str, bool]
"""Path within the template, sentence, and whether it is only odd."""

_NODE: Final = re.compile(r"\{\{\s*=?\s*node\.name\s*\}\}")
_RETRIES: Final = re.compile(r"\{\{.*\bretries\b.*\}\}", re.DOTALL)
_PLACE: Final = {"endpoint": "s3.example", "bucket": "bucket", "key": "key"}
_WORKFLOW: Final = view(
    {
        "metadata": {"namespace": "default", "name": "workflow", "uid": "uid"},
        "status": {"artifactRepositoryRef": {"artifactRepository": {"s3": {**_PLACE}}}},
    }
)
"""A Workflow with a repository: what an artifact's location lacks comes from there when the step starts."""


def check_template(place: Place, known: Known) -> Iterator[Told]:
    """Yield all that is wrong or odd in a template of ours."""
    template = place.template
    raw = template["plugin"][KEY]
    given = raw if isinstance(raw, dict) else {}
    retried = bool(template.get("retryStrategy") or place.defaults.get("retryStrategy"))
    yield from _identity(given, retried)
    started, _ = as_if_started(template)
    if retried:
        started["retryStrategy"] = {"limit": 1}
    repaired, problems = all_problems(started, parse_body)
    for path, message in problems:
        yield path, message, False
    yield from check_life(template, place.defaults, given)
    try:
        body = parse_body(repaired)
    except StepError:
        return  # there is no dataflow to look into; this was told
    broken = any(path.startswith((DATAFLOW, f"{PATH}.results")) for path, _ in problems)
    spec, told = _with_artifacts(template, with_chain(body.spec, known))
    for path, message in told:
        yield path, message, False
    yield from _outputs(template, body, spec, skip_sources=broken)
    if not broken:
        artifacts = {(side, a["name"]): path for side, path, a in _artifacts(template)}
        addresses = {
            side: {name: body.spec.get(side, {}).get(name, {"uri": at["uri"]}) for name, at in spec[side].items()}
            for side in ("inputs", "outputs")
            if side in spec
        }
        known_fault = {path for path, _ in told}
        for path, message, odd in check_chain(given["dataflow"], body.spec | addresses, artifacts, known):
            if path not in known_fault:
                yield path, message, odd


def _identity(given: JsonObject, retried: bool) -> Iterator[Told]:
    """Yield what would make two steps one DataFlow; parse_body tells what is missing."""
    node, attempt = given.get("node"), given.get("attempt")
    if isinstance(node, str) and node and not _NODE.fullmatch(node.strip()):
        yield f"{PATH}.node", f"'{node[:80]}' is not the node's name: write node: \"{{{{node.name}}}}\".", False
    if retried and attempt not in (None, "") and not (isinstance(attempt, str) and _RETRIES.fullmatch(attempt.strip())):
        message = f"'{str(attempt)[:80]}' is the same for each attempt: write attempt: \"{{{{retries}}}}\"."
        yield f"{PATH}.attempt", message, False


def _artifacts(template: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    for side in ("inputs", "outputs"):
        listed = (template.get(side) or {}).get("artifacts") if isinstance(template.get(side), dict) else None
        for i, artifact in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(artifact, dict) and isinstance(artifact.get("name"), str) and artifact["name"]:
                yield side, f"{side}.artifacts[{i}]", artifact


def _with_artifacts(template: JsonObject, spec: JsonObject) -> tuple[JsonObject, list[tuple[str, str]]]:
    """Return the spec with an address for every artifact, and what is wrong with artifacts."""
    problems: list[tuple[str, str]] = []
    for side, path, artifact in _artifacts(template):
        if not artifact.get("path"):
            message = f"Argo wants a path, though no file is made of it: write path: /tmp/{artifact['name']}."
            problems.append((path, message))
        alone = _placed(artifact, side)
        try:
            spec = with_addresses(spec, {side: {"artifacts": [alone]}}, _WORKFLOW, "node")
        except StepError as error:
            problems.append((path + error.path.removeprefix(f"{side}.artifacts[0]"), error.message))
    return spec, problems


def _placed(artifact: JsonObject, side: str) -> JsonObject:
    """Return an artifact with stand-ins for what only Argo knows; a caller may give an input's location."""
    known: JsonObject = _without_variables(artifact)
    if side == "inputs" and not any(isinstance(value, dict) for key, value in known.items() if key != "archive"):
        known["s3"] = {**_PLACE, "key": known["name"]}
    return known


def _without_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_variables(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_variables(child) for child in value]
    return TAG.sub("x", value) if is_unknown(value) else value


def _outputs(template: JsonObject, body: Body, spec: JsonObject, skip_sources: bool) -> Iterator[Told]:
    outputs = template.get("outputs")
    listed = outputs.get("parameters") if isinstance(outputs, dict) else None
    names = []
    for i, parameter in enumerate(listed if isinstance(listed, list) else ()):
        path = f"outputs.parameters[{i}]"
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            yield f"{path}.name", "give the parameter a name.", False
            continue
        names.append(parameter["name"])
        yield from _value_from(parameter, path)
        if skip_sources or is_unknown(body.results.get(parameter["name"])):
            continue
        own = {name: source for name, source in body.results.items() if name == parameter["name"]}
        try:
            check_outputs({"outputs": {"parameters": [parameter]}}, dataclasses.replace(body, results=own), spec)
        except StepError as error:
            yield error.path.replace("outputs.parameters[0]", path), error.message, False
    for name in body.results:
        if name not in names:
            hint = choose(name, names) if names else "take it out."
            message = f"the template declares no such output parameter: add it to outputs.parameters, or {hint}"
            yield f"{PATH}.results.{name}", message, False
    if body.complete_when == "Running" and any(side == "outputs" for side, _, _ in _artifacts(template)):
        message = "a step that completes when its flow runs has no artifacts yet: take them out."
        yield "outputs.artifacts", message, False


def _value_from(parameter: JsonObject, path: str) -> Iterator[Told]:
    value_from = parameter.get("valueFrom")
    if value_from is None:
        if parameter.get("value") is None:
            yield path, "Argo takes no output without a source: write valueFrom: {supplied: {}}.", False
        return
    kinds = set(value_from) - {"default"} if isinstance(value_from, dict) else set()
    if not kinds:
        yield f"{path}.valueFrom", "Argo wants a source beside the default: add supplied: {}.", False
    elif kinds != {"supplied"}:
        unread = ", ".join(sorted(kinds - {"supplied"}))
        message = f"a step of ours reads no {unread}: write supplied: {{}}, and name the source in {PATH}.results."
        yield f"{path}.valueFrom", message, True
