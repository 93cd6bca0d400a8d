# SPDX-License-Identifier: Apache-2.0
"""``@accelerated``: a Python function that stands for a function of the cluster, with a body that says what it does."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from hera.workflows._context import _context

from accelchain.api.common import DeviceType
from accelchain.chain.problems import choose
from accelchain.hera.errors import CompositionError
from accelchain.hera.options import Options
from accelchain.hera.ports import ChainPort
from accelchain.hera.signature import Signature, read
from accelchain.hera.values import Frames, Origin, Stream

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

_ASSUMED_RATE = 25.0
"""Frames a second of pictures that no source told the times of."""


class Composer(ABC):
    """A context whose calls of accelerated functions become functions of a chain."""

    @abstractmethod
    def call(self, function: Accelerated[Any, Any], bound: inspect.BoundArguments) -> Any:
        """Add a function and return its output ports the way the function returns its results."""


class Accelerated(Generic[P, R]):
    """What ``@accelerated`` makes of a function.

    A call under ``with Chain`` adds the function to the chain and returns its ports. A call outside of every Hera
    context runs the body, on numpy arrays.
    """

    __array_ufunc__ = None
    """So that ``array >> function`` is left to us by numpy."""

    def __init__(self, function: str, version: str | None, body: Callable[P, R], signature: Signature) -> None:
        self.function_name = function
        """The cluster's name of the function."""
        self.version = version
        self.signature = signature
        self.settings = Options()
        self.body = body
        """The reference body, as it was decorated."""
        functools.update_wrapper(self, body)

    def __repr__(self) -> str:
        return f"<accelerated {self.body.__name__}: {self.function_name}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same object: it never changes, and Hera copies templates that hold it."""
        return self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add the function to the chain of the context, or run its body where there is no context.

        Raises:
            CompositionError: the call can't become a function of the chain, or stands directly in a Workflow, DAG or
                Steps.
            TypeError: arguments do not fit the signature.
        """
        pieces = _context.pieces
        if pieces and isinstance(pieces[-1], Composer):
            result: R = pieces[-1].call(self, self._bound(*args, **kwargs))
            return result
        if pieces:
            kind = type(pieces[-1]).__name__
            raise CompositionError(
                f"'{self.body.__name__}' ({self.function_name}) is called in a {kind}, where steps hand over files, "
                f"not {self._carries()}: call it in `with Chain(…)`, from a source to a sink, and call the chain here."
            )
        return self._run(self._bound(*args, **kwargs))

    def options(
        self,
        *,
        name: str | None = None,
        device_types: Sequence[DeviceType] | None = None,
        devices: Sequence[str] | None = None,
        nodes: Sequence[str] | None = None,
        implementations: Sequence[str] | None = None,
        rate: float | None = None,
    ) -> Self:
        """Return the function with other options; what is not given stays. The arguments are those of ``Options``."""
        given = {
            "name": name,
            "device_types": device_types and tuple(device_types),
            "devices": devices and tuple(devices),
            "nodes": nodes and tuple(nodes),
            "implementations": implementations and tuple(implementations),
            "rate": rate,
        }
        other = copy.copy(self)
        other.settings = replace(self.settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        return other

    def using(self: Callable[Concatenate[T, Q], R], **parameters: Any) -> Stage[T, R]:
        """Return the function with parameters filled in, for ``port >> function.using(width=300)``."""
        return Stage(self, parameters)

    @overload
    def __rrshift__(self: Callable[Concatenate[T, U, Q], R], other: tuple[T, U]) -> R: ...
    @overload
    def __rrshift__(self: Callable[Concatenate[T, Q], R], other: T) -> R: ...
    def __rrshift__(self, other: Any) -> Any:
        """Call the function with what stands on the left; a tuple gives several arguments."""
        return Stage(self, {}).__rrshift__(other)

    def _bound(self, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        known = self.signature.bind.parameters
        if wrong := next((name for name in kwargs if name not in known), None):
            raise TypeError(f"{self.body.__name__}() has no argument '{wrong}': {choose(wrong, known)}")
        try:
            return self.signature.bind.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.body.__name__}(): {error}: it takes {', '.join(known)}.") from None

    def _carries(self) -> str:
        names = dict.fromkeys(p.type.port.name for p in (*self.signature.inputs, *self.signature.outputs))
        return " and ".join(names)

    def _run(self, bound: inspect.BoundArguments) -> R:
        origin: Origin | None = None
        for port in self.signature.inputs:
            value = bound.arguments.get(port.name)
            if value is None:
                continue
            if isinstance(value, ChainPort):
                raise CompositionError(
                    f"'{self.body.__name__}' gets '{value}', a port of chain '{value.chain}', outside of that chain: "
                    "move the call into its `with` block."
                )
            stream = value if isinstance(value, port.type) else port.type(value)
            stream.origin = stream.origin or _assumed_origin(stream)
            bound.arguments[port.name] = stream
            origin = origin or stream.origin
        returned: Any = self.body(*bound.args, **bound.kwargs)
        result: R = self.signature.pack(list(self._streams(returned, origin)))
        return result

    def _streams(self, returned: Any, origin: Origin | None) -> Iterator[Stream]:
        for port, value in zip(self.signature.outputs, self.signature.unpack(returned), strict=True):
            stream = value if isinstance(value, port.type) else port.type(value)
            stream.origin = stream.origin or origin
            yield stream


class Stage(Generic[S, T]):
    """An accelerated function whose parameters are given: what ``>>`` leads to."""

    __array_ufunc__ = None

    def __init__(self, function: Callable[..., T], parameters: dict[str, Any]) -> None:
        self._function = function
        self._parameters = parameters

    def __rrshift__(self, other: S) -> T:
        """Call the function with what stands on the left, before the parameters."""
        first = other if isinstance(other, tuple) else (other,)
        return self._function(*first, **self._parameters)


def _assumed_origin(stream: Stream) -> Origin | None:
    """Return what is said of pictures that come from no source of ours."""
    if not isinstance(stream, Frames):
        return None
    _, height, width, _ = stream.shape
    return Origin((width, height), tuple(i / _ASSUMED_RATE for i in range(len(stream))))


def accelerated(
    function: str,
    *,
    version: str | None = None,
    name: str | None = None,
    outputs: Sequence[str] = (),
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    rate: float | None = None,
) -> Callable[[Callable[P, R]], Accelerated[P, R]]:
    """Declare that a Python function stands for a function of the cluster.

    Arguments that are annotated with a port type (``Frames``, ``Detections``, a subclass of ``Stream``) are the input
    ports, what is returned are the output ports, all other arguments are parameters; names are those of the manifest.

    Args:
        function: the FunctionType's function, ``filter-resize``.
        version: exactly this version; the highest where None.
        name: name within a chain; the Python function's where None.
        outputs: names of the output ports, where they are not the names of the port types.
        device_types: only on devices of these types.
        devices: only on these devices.
        nodes: only on these nodes.
        implementations: only these implementations.
        rate: frames a second that this function is to take, where it differs from the chain's.

    Raises:
        CompositionError: the signature holds something that is neither a port nor a parameter.
    """

    def decorate(body: Callable[P, R]) -> Accelerated[P, R]:
        local = sys._getframe(1).f_locals  # annotations may name types of the function that holds this one
        made = Accelerated(function, version, body, read(body, outputs, local))
        return made.options(
            name=name,
            device_types=device_types,
            devices=devices,
            nodes=nodes,
            implementations=implementations,
            rate=rate,
        )

    return decorate
