# SPDX-License-Identifier: Apache-2.0
"""``@accelerated``: a component of KFP's that carries its function, and is an ordinary component beside that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from kfp import dsl
from kfp.dsl import base_component

from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.kfp_objects import interface_of, is_done
from accelchain.kfp.authoring.literal import Scalar
from accelchain.kfp.authoring.marks import Place, Wish, Wishes, attach

if TYPE_CHECKING:
    from accelchain.api.common import DeviceType
    from accelchain.kfp.authoring.types import Component

BASE_IMAGE = "python:3.11"
"""Of bare functions: what KFP takes by itself, which warns that it will take another one."""


def accelerated(
    function: str,
    *,
    version: str | None = None,
    parameters: Mapping[str, Place | Scalar] | None = None,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    addresses: Mapping[str, Place] | None = None,
    results: Mapping[str, str] | None = None,
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    rate: float | None = None,
) -> Callable[[Callable[..., Any]], Component[...]]:
    """Say which function of the cluster a component is.

    It stands above ``@dsl.component`` or ``@dsl.container_component``, or takes a component that was loaded from YAML.
    A bare function is made a component first. Names that are equal in the component and the function (``_`` is ``-``)
    need not be given.

    Args:
        function: the FunctionType's function, ``filter-resize``.
        version: exactly this version; the highest where None.
        parameters: function's parameter: the component's input parameter, or a ``literal``.
        inputs: input port: the component's input artifact (or input parameter).
        outputs: output port: the component's output artifact (or output parameter).
        addresses: function's parameter that is an address: input artifact, input parameter, output artifact, or a
            ``literal``.
        results: the component's output parameter: what the function tells, such as ``frames``.
        device_types: only on devices of these types.
        devices: only on these devices: ``gpu0``, or ``node/gpu0``.
        nodes: only on these nodes.
        implementations: only these implementations of the FunctionType.
        rate: frames a second that this function is to take, where it differs from the chain's.

    Raises:
        AuthoringError: the component has no input or output of a name that is given, or is a pipeline.
    """
    if not isinstance(function, str):
        raise AuthoringError('@accelerated stands without its function: write @accelerated("filter-resize").')
    wish = wish_of(
        function,
        version=version,
        parameters=parameters,
        inputs=inputs,
        outputs=outputs,
        addresses=addresses,
        results=results,
        wishes=Wishes(
            device_types=device_types, devices=devices, nodes=nodes, implementations=implementations, rate=rate
        ),
    )
    return lambda component: _marked(component, wish)


def wish_of(function: str, **given: Any) -> Wish:
    """Return what an author says; None is what he does not say."""
    return Wish(function=function, **{name: value for name, value in given.items() if value is not None})


class _Accelerated:
    """In front of the component's own class: every task that it makes gets the mark."""

    _accelchain_mark: Mapping[str, Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        task = super().__call__(*args, **kwargs)  # type: ignore[misc]  # the component's own
        if not is_done(task):  # else kfp.local has run it as itself, by a plain call
            attach(task, self._accelchain_mark)
        return task


@cache
def _class(of: Any) -> Any:
    """Return the marked class for a class of components; KFP has four."""
    return type(f"Accelerated{of.__name__}", (_Accelerated, of), {"__module__": of.__module__, "__doc__": of.__doc__})


def _marked(given: Any, wish: Wish) -> Any:
    component = given if isinstance(given, base_component.BaseComponent) else _component(given)
    where = f"component '{component.name}'"
    if component.component_spec.implementation.graph is not None:
        raise AuthoringError(
            f"{where} is a pipeline; a function is one component: mark its components, and put @chain in the place of "
            "@dsl.pipeline."
        )
    mark = wish.mark(interface_of(component.component_spec), where)
    own: Any = type(component)
    cls = own if issubclass(own, _Accelerated) else _class(own)
    marked = cls.__new__(cls)  # the component that was given stays as it is
    marked.__dict__.update(component.__dict__, _accelchain_mark=mark)
    return marked


def _component(function: Any) -> Any:
    if not inspect.isfunction(function):
        raise AuthoringError(f"{function!r} is neither a component nor a function: @accelerated can't mark it.")
    returned = function.__annotations__.get("return")
    if returned is dsl.ContainerSpec or str(returned).rpartition(".")[2] == "ContainerSpec":
        return dsl.container_component(function)
    return dsl.component(function, base_image=BASE_IMAGE)
