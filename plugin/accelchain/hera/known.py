# SPDX-License-Identifier: Apache-2.0
"""Types of functions: the manifests that are installed here, else what a Python signature says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

from pydantic import ValidationError

from accelchain.api.function_type import FunctionType
from accelchain.chain.catalog import Catalog
from accelchain.chain.problems import Problems
from accelchain.hera.errors import CompositionError
from accelchain.hera.signature import Port, Setting, Signature


def installed_types() -> tuple[FunctionType, ...]:
    """Return the types of the functions that are installed: built in, by entry points, in ``ACCELCHAIN_FUNCTIONS``.

    Raises:
        CompositionError: a manifest can't be read.
    """
    return _installed(os.environ.get("ACCELCHAIN_FUNCTIONS", ""))


@lru_cache(maxsize=8)
def _installed(_folders: str) -> tuple[FunctionType, ...]:
    from accelchain_runtime.registry import ManifestError, find  # here, so that importing this package needs no worker

    try:
        return tuple(FunctionType.model_validate(found.manifest) for found in find())
    except (ManifestError, ValidationError) as error:
        raise CompositionError(f"the installed functions can't be read: {error}") from error


def known_type(function: str, version: str | None) -> FunctionType | None:
    """Return the installed type of a function, the highest where no version is asked for; None where there is none."""
    return Catalog(installed_types()).find(function, version, "", Problems())


def type_of(
    function: str, version: str | None, signature: Signature, implementations: Sequence[str] = ()
) -> FunctionType:
    """Return the type that a signature describes, for a function that is installed in the cluster only.

    Args:
        function: its name.
        version: that is asked for.
        signature: of the Python function.
        implementations: names that are asked for; whether the cluster has them is not known here.
    """
    role = "transform"
    if not signature.inputs or not signature.outputs:
        role = "sink" if signature.inputs else "source"
    spec = {
        "version": version or "1.0.0",
        "role": role,
        "inputs": _ports(signature.inputs),
        "outputs": _ports(signature.outputs),
        "parameters": [_declaration(setting) for setting in signature.settings],
        "implementations": [
            {"name": name, "api": "host", "entrypoint": "elsewhere:Elsewhere"} for name in implementations or ("host",)
        ],
    }
    return FunctionType.model_validate({"metadata": {"name": function}, "spec": spec})


def _ports(ports: Sequence[Port]) -> list[dict[str, object]]:
    return [
        {
            "name": port.name,
            "type": port.type.port.name,
            "dtype": port.type.port.dtype,
            "shape": list(port.type.port.shape),
            "optional": port.optional,
        }
        for port in ports
    ]


def _declaration(setting: Setting) -> dict[str, object]:
    declared: dict[str, object] = {"name": setting.name, "type": setting.type, "required": setting.required}
    if setting.choices:
        declared["enum"] = list(setting.choices)
    return declared
