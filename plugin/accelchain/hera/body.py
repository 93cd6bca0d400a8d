# SPDX-License-Identifier: Apache-2.0
"""A plugin template as JSON: checked before it leaves Python."""

from __future__ import annotations

import copy
from typing import Any

from accelchain.argo.core.body import KEY, parse_body
from accelchain.argo.core.errors import StepError
from accelchain.argo.core.outputs import check_outputs
from accelchain.argo.core.resource import resource_template
from accelchain.argo.core.unknown import fill
from accelchain.argo.core.variables import variables
from accelchain.chain.problems import choose
from accelchain.hera.errors import CompositionError


def with_paths(document: dict[str, Any]) -> dict[str, Any]:
    """Return a template whose artifacts have paths: Argo asks for one, also where no pod has files.

    argoproj/argo-workflows v4.1.2, workflow/validate/validate.go:validateInputs and validateOutputs.
    """
    result = copy.deepcopy(document)
    for side in ("inputs", "outputs"):
        for artifact in (result.get(side) or {}).get("artifacts") or ():
            artifact.setdefault("path", f"/tmp/{side}/{artifact['name']}")
    return result


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """Return a plugin template as it is, if its body is right; what Argo fills in later is taken to be right.

    Raises:
        CompositionError: the body is wrong, names a parameter that is not declared, or a name is there twice.
    """
    _check_names(document)
    filled = copy.deepcopy(document)
    body = filled["plugin"][KEY]
    body["node"], body["attempt"] = "name", "0"  # Argo fills them in
    body["dataflow"] = fill(body["dataflow"]).spec
    try:
        parsed = parse_body(filled)
        check_outputs(filled, parsed, _with_artifacts(filled, parsed.spec))
    except StepError as error:
        raise CompositionError(f"template '{document.get('name', '')}': {error}") from error
    return document


def _check_names(template: dict[str, Any]) -> None:
    """Check that names are given once, and that parameters which the body uses are declared."""
    where, declared = f"template '{template.get('name', '')}'", set[str]()
    for side in ("inputs", "outputs"):
        for kind in ("parameters", "artifacts"):
            names = [entry["name"] for entry in (template.get(side) or {}).get(kind) or ()]
            if double := next((name for name in names if names.count(name) > 1), None):
                raise CompositionError(f"{where}: {side}.{kind} has '{double}' twice: declare it once.")
            declared.update(names if (side, kind) == ("inputs", "parameters") else ())
    for read in variables(template["plugin"]):
        if read.scope in ("tasks", "steps"):
            raise CompositionError(
                f"{where} uses {read.scope}.{read.name}, which only the template that calls it knows: declare a "
                "parameter for it (chain.parameter), and pass it by arguments."
            )
        if read.scope == "parameters" and read.name not in declared and not read.in_expression:
            raise CompositionError(
                f"{where} uses {{{{inputs.parameters.{read.name}}}}} and declares no such parameter: "
                f"{choose(read.name, declared)}"
            )


def _with_artifacts(template: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with an address for every output artifact, as the plugin gives it one."""
    artifacts = (template.get("outputs") or {}).get("artifacts") or ()
    addresses = {artifact["name"]: {"uri": "s3://bucket/key"} for artifact in artifacts}
    return spec | {"outputs": addresses | (spec.get("outputs") or {})}


def as_resource(document: dict[str, Any]) -> dict[str, Any]:
    """Return a plugin template as one that creates the DataFlow by Argo's ``resource``.

    Raises:
        CompositionError: it needs what a resource template has not, such as artifacts.
    """
    try:
        return resource_template(document)
    except StepError as error:
        raise CompositionError(f"template '{document.get('name', '')}': {error}") from error
