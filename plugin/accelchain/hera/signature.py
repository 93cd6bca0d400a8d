# SPDX-License-Identifier: Apache-2.0
"""A Python function's signature as ports and parameters."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from accelchain.api.common import Scalar
from accelchain.api.parameter import ParameterType
from accelchain.hera.errors import CompositionError
from accelchain.hera.values import Stream

_SCALARS: Mapping[type, ParameterType] = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Port:
    """A port as the signature has it."""

    name: str
    type: type[Stream]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter as the signature has it."""

    name: str
    type: ParameterType
    required: bool
    default: Scalar | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in, what comes out, and what may be set."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    settings: tuple[Setting, ...]
    bind: inspect.Signature
    result: type[tuple[Any, ...]] | None
    """The NamedTuple, or tuple, that holds several outputs; None where the function returns one or none."""

    def pack(self, values: Sequence[Any]) -> Any:
        """Return one value an output the way the function returns them."""
        if self.result is None:
            return values[0] if values else None
        return self.result(*values) if hasattr(self.result, "_fields") else tuple(values)

    def unpack(self, returned: Any) -> tuple[Any, ...]:
        """Return what the function returned, one value an output."""
        if self.result is None:
            return (returned,) if self.outputs else ()
        return tuple(returned)


def read(
    function: Callable[..., Any], outputs: Sequence[str] = (), local: Mapping[str, Any] | None = None
) -> Signature:
    """Read a function's annotations.

    Args:
        function: annotated throughout.
        outputs: names of the output ports in the order of what is returned; where empty, the fields of the
            NamedTuple that is returned, else the names of the port types.
        local: names beside those of the function's module that annotations may use.

    Raises:
        CompositionError: an annotation is missing, can't be resolved, or is no port and no parameter.
    """
    name = function.__name__
    try:
        hints = typing.get_type_hints(function, localns=dict(local or {}))
    except NameError as error:
        raise CompositionError(
            f"function '{name}': the annotation {error.name} can't be resolved: define it before the function."
        ) from error
    bind = inspect.signature(function)
    inputs: list[Port] = []
    settings: list[Setting] = []
    for parameter in bind.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise CompositionError(
                f"function '{name}': *{parameter.name} names no port and no parameter: spell it out."
            )
        if parameter.name not in hints:
            raise CompositionError(
                f"function '{name}', argument '{parameter.name}': annotate it with a port type such as Frames, "
                "or with int, float, bool, str or Literal."
            )
        wanted, optional = _without_none(hints[parameter.name])
        if isinstance(wanted, type) and issubclass(wanted, Stream):
            inputs.append(Port(parameter.name, wanted, optional or parameter.default is None))
        else:
            settings.append(_setting(name, parameter, wanted))
    returned, result = _outputs(name, hints.get("return", inspect.Parameter.empty), outputs)
    return Signature(tuple(inputs), returned, tuple(settings), bind, result)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return what an annotation allows beside None, and whether it allows None."""
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [each for each in get_args(hint) if each is not types.NoneType]
    return (rest[0] if len(rest) == 1 else hint), len(rest) < len(get_args(hint))


def _setting(function: str, parameter: inspect.Parameter, hint: Any) -> Setting:
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    if get_origin(hint) is Literal and all(isinstance(choice, str) for choice in get_args(hint)):
        return Setting(parameter.name, "string", required, default, get_args(hint))
    found = next((kind for base, kind in _SCALARS.items() if isinstance(hint, type) and issubclass(hint, base)), None)
    if found is None:
        raise CompositionError(
            f"function '{function}', argument '{parameter.name}': {_shown(hint)} is neither a port type "
            "(Frames, Detections, a subclass of Stream) nor int, float, bool, str or Literal: use one of them."
        )
    return Setting(parameter.name, found, required, default)


def _outputs(function: str, hint: Any, names: Sequence[str]) -> tuple[tuple[Port, ...], type[tuple[Any, ...]] | None]:
    if hint is inspect.Parameter.empty:
        raise CompositionError(f"function '{function}': annotate what it returns: a port type, or None for a sink.")
    if hint is types.NoneType:
        return (), None
    result: type[tuple[Any, ...]] | None = None
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = typing.get_type_hints(hint)
        result, kinds, names = hint, tuple(fields.values()), names or tuple(fields)
    elif get_origin(hint) is tuple:
        result, kinds = tuple, get_args(hint)
    else:
        kinds = (hint,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Stream)):
            raise CompositionError(
                f"function '{function}' returns {_shown(kind)}: return a port type (Frames, Detections, a subclass of "
                "Stream), a NamedTuple of them, or None."
            )
    names = names or tuple(kind.port.name for kind in kinds)
    if len(names) != len(kinds) or len(set(names)) != len(names):
        raise CompositionError(
            f"function '{function}' returns {len(kinds)} ports, which need as many different names: "
            "give @accelerated(…, outputs=[…])."
        )
    return tuple(Port(name, kind) for name, kind in zip(names, kinds, strict=True)), result


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
