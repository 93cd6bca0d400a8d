# SPDX-License-Identifier: Apache-2.0
"""What becomes of a container's command and args on their way from the IR to the process.

Three substitute, one after the other, each as plain text: the driver, the kubelet, the launcher.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp_backend.values import BackendError, Value, compact, driver_text, to_text

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
_VARIABLE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def by_driver(arguments: Sequence[str], executor_input: Mapping[str, Any]) -> list[str]:
    """driver/util.go:resolveContainerArgs.

    Raises:
        BackendError: an input that isn't there, or an IfPresent that isn't JSON.
    """
    parameters = executor_input.get("inputs", {}).get("parameterValues", {})
    found: list[str] = []
    for argument in arguments:
        if "$.outputs" in argument:
            found.append(argument)
        elif argument.strip().startswith('{"IfPresent":'):
            found += _if_present(argument, parameters)
        else:
            found.append(_inputs(argument, parameters))
    return found


def _inputs(argument: str, parameters: Mapping[str, Value]) -> str:
    """driver/util.go:resolveInputParameterPlaceholders."""

    def replace(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise BackendError(
                f"failed to resolve input parameters: parameter {match[1]!r} not found in executor input"
            )
        return driver_text(parameters[match[1]])

    return _PARAMETER.sub(replace, argument)


def _if_present(argument: str, parameters: Mapping[str, Value]) -> list[str]:
    """driver/util.go:resolveCondition."""
    try:
        condition = json.loads(argument)["IfPresent"]
    except ValueError as error:
        raise BackendError(f"failed to resolve condition: failed to parse IfPresent JSON: {error}") from None
    is_present = parameters.get(condition.get("InputName")) is not None
    chosen = condition.get("Then" if is_present else "Else")
    if chosen is None:
        return []
    texts = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BackendError("failed to resolve condition: non-string item in IfPresent Then/Else")
    return [_inputs(text, parameters) for text in texts]


def by_kubelet(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Expand ``$(NAME)`` in a container's command and args: k8s.io/kubernetes, third_party/forked/golang/expansion."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] is None else environment.get(match[1], match[0])

    return [_VARIABLE.sub(replace, argument) for argument in arguments]


def by_launcher(
    command: Sequence[str], executor_input: Mapping[str, Any], path: Callable[[Mapping[str, Any]], str | None]
) -> list[str]:
    """component/launcher_v2.go:compileCmdAndArgs; ``path`` tells an artifact's local path, None where it has none."""
    whole = compact(executor_input)
    found = [command[0].replace("{{$}}", whole)]  # in the command itself nothing else is filled in
    texts = placeholders(executor_input, path)
    for argument in command[1:]:
        argument = argument.replace("{{$}}", whole)
        for placeholder, text in texts.items():
            argument = argument.replace(placeholder, text)
        found.append(argument)
    return found


def placeholders(executor_input: Mapping[str, Any], path: Callable[[Mapping[str, Any]], str | None]) -> dict[str, str]:
    """component/launcher_v2.go:getPlaceholders."""
    found: dict[str, str] = {}
    inputs, outputs = executor_input.get("inputs", {}), executor_input.get("outputs", {})
    for side, artifacts in (("inputs", inputs.get("artifacts", {})), ("outputs", outputs.get("artifacts", {}))):
        for name, listed in artifacts.items():
            if not listed.get("artifacts"):
                continue
            artifact = listed["artifacts"][0]
            found[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = artifact.get("uri", "")
            local = path(artifact)
            if local is None and side == "outputs":
                raise BackendError(f"resolve output artifact {name!r}'s local path: unsupported storage scheme")
            if local is not None:
                found[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = local
    for name, value in inputs.get("parameterValues", {}).items():
        if value is None:
            raise BackendError(f"failed to get placeholders: input parameter {name!r} is null")
        found[f"{{{{$.inputs.parameters['{name}']}}}}"] = to_text(value)
    for name, output in outputs.get("parameters", {}).items():
        found[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = output["outputFile"]
    return found
