# SPDX-License-Identifier: Apache-2.0
"""accelchain for Kubeflow Pipelines: accelerated components, and chains of them that become one task. See docs/kfp.md.

Names are loaded when they are used: importing this package imports neither KFP nor the models of the resources.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelchain.kfp import functions
    from accelchain.kfp.authoring.accelerated import accelerated
    from accelchain.kfp.authoring.chain import Chain, chain
    from accelchain.kfp.authoring.compile import Compiler, compile, fused
    from accelchain.kfp.authoring.errors import AuthoringError
    from accelchain.kfp.authoring.literal import literal
    from accelchain.kfp.authoring.offload import offload
    from accelchain.kfp.authoring.ready import component_of
    from accelchain.kfp.authoring.types import Component, Detections, Frames
    from accelchain.kfp.core import FuseError

__all__ = [
    "AuthoringError",
    "Chain",
    "Compiler",
    "Component",
    "Detections",
    "Frames",
    "FuseError",
    "accelerated",
    "chain",
    "compile",
    "component_of",
    "functions",
    "fused",
    "literal",
    "offload",
]

_AUTHORING = "accelchain.kfp.authoring"
_MODULES = {
    "AuthoringError": f"{_AUTHORING}.errors",
    "Chain": f"{_AUTHORING}.chain",
    "Compiler": f"{_AUTHORING}.compile",
    "Component": f"{_AUTHORING}.types",
    "Detections": f"{_AUTHORING}.types",
    "Frames": f"{_AUTHORING}.types",
    "FuseError": "accelchain.kfp.core",
    "accelerated": f"{_AUTHORING}.accelerated",
    "chain": f"{_AUTHORING}.chain",
    "compile": f"{_AUTHORING}.compile",
    "component_of": f"{_AUTHORING}.ready",
    "fused": f"{_AUTHORING}.compile",
    "literal": f"{_AUTHORING}.literal",
    "offload": f"{_AUTHORING}.offload",
}


def __getattr__(name: str) -> Any:
    if name == "functions":
        return import_module("accelchain.kfp.functions")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
