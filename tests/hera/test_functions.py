# SPDX-License-Identifier: Apache-2.0
"""The typed wrappers are what the manifests say."""

from __future__ import annotations

from typing import Any

import pytest

from accelchain.api.function_type import FunctionType
from accelchain.hera import Accelerated, functions
from accelchain.hera.known import installed_types, type_of

WRAPPERS: dict[str, Accelerated[..., Any]] = {
    wrapper.function_name: wrapper for name in functions.__all__ if (wrapper := getattr(functions, name))
}


def built_in() -> list[FunctionType]:
    return list(installed_types())


@pytest.mark.parametrize("manifest", built_in(), ids=lambda t: t.function)
def test_a_wrapper_has_the_manifests_ports_and_parameters(manifest: FunctionType) -> None:
    wrapper = WRAPPERS[manifest.function]
    ours = type_of(wrapper.function_name, None, wrapper.signature).spec
    for got, wanted in ((ours.inputs, manifest.spec.inputs), (ours.outputs, manifest.spec.outputs)):
        assert [(p.name, p.type, p.dtype, len(p.shape), p.optional) for p in got] == [
            (p.name, p.type, p.dtype, len(p.shape), p.optional) for p in wanted
        ]
    assert ours.role == manifest.spec.role
    settings = {s.name: s for s in wrapper.signature.settings}
    assert list(settings) == [p.name for p in manifest.spec.parameters]
    for parameter in manifest.spec.parameters:
        setting = settings[parameter.name]
        assert setting.type == parameter.type
        assert setting.required == parameter.required
        assert setting.default == parameter.default
        assert list(setting.choices) == (parameter.enum or [])


def test_every_wrapper_has_a_manifest() -> None:
    assert sorted(WRAPPERS) == sorted(t.function for t in built_in())
