# SPDX-License-Identifier: Apache-2.0
"""Cache keys: cacheutils/cache.go:GenerateCacheKey, driver/cache.go:getFingerPrint.

The driver of 2.17.0 does not look at ``cachingOptions.cacheKey``; later ones take it for the whole of the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from kfp_backend.values import compact


def fingerprint(executor_input: Mapping[str, Any], component: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return the fingerprint of a task that is about to run."""
    inputs, outputs = executor_input.get("inputs", {}), executor_input.get("outputs", {})
    types = component.get("outputDefinitions", {}).get("parameters", {})
    key = {
        "inputArtifactNames": {
            name: {"artifactNames": [artifact.get("name", "") for artifact in listed["artifacts"]]}
            for name, listed in inputs.get("artifacts", {}).items()
        },
        "inputParameterValues": inputs.get("parameterValues", {}),
        "outputArtifactsSpec": {
            name: {part: value for part, value in listed["artifacts"][0].items() if part != "uri"}
            for name, listed in outputs.get("artifacts", {}).items()
        },
        "outputParametersSpec": {name: types[name]["parameterType"] for name in outputs.get("parameters", {})},
        "containerSpec": {
            "image": container.get("image", ""),
            "cmdArgs": [*container.get("command", []), *container.get("args", [])],
        },
    }
    return hashlib.sha256(compact(key).encode()).hexdigest()
