# SPDX-License-Identifier: Apache-2.0
"""Types that ports are annotated with. In a plain call they are numpy arrays; under ``with Chain`` they are ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Never, Self

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class PortType:
    """What a port carries, as a FunctionType's manifest says it."""

    name: str
    """``frames``, ``detections``, ``tensor``, or a name of your own."""
    dtype: str = "uint8"
    shape: tuple[int | str, ...] = ()
    """Of one frame: a number is fixed, a name is free, ``$name`` is the value of that parameter."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What travels with frames along every path."""

    size: tuple[int, int]
    """(width, height) in pixels of the pictures as the source had them."""
    times: tuple[float, ...]
    """Seconds from the start of the source, a frame each."""


class _Nothing:
    """What nobody has."""


class Stream(np.ndarray[Any, np.dtype[Any]]):
    """All frames of one port: an array whose first axis counts the frames. Subclass it for a port type of your own.

    Example:
        >>> class Masks(Stream):
        ...     port = PortType("masks", "float32", ("height", "width"))
    """

    port: ClassVar[PortType]
    origin: Origin | None

    def __new__(cls, values: ArrayLike, origin: Origin | None = None) -> Self:
        """Make a stream of an array.

        Args:
            values: [frames, *shape of one frame].
            origin: what the source said of the frames; taken from ``values`` where that is a stream.

        Raises:
            ValueError: the array's rank, a fixed size or the element type does not fit the port type.
        """
        given = np.asanyarray(values)
        wanted = cls.port.shape
        fits = given.ndim == 1 + len(wanted) and all(
            isinstance(want, str) or want == have for want, have in zip(wanted, given.shape[1:], strict=True)
        )
        if not fits or not np.can_cast(given.dtype, np.dtype(cls.port.dtype), casting="same_kind"):
            shape = ", ".join(["frames", *(str(want).removeprefix("$") for want in wanted)])
            raise ValueError(
                f"{cls.__name__} are {cls.port.dtype} [{shape}], not {given.dtype} {list(given.shape)}: convert them."
            )
        stream = np.asarray(given, dtype=cls.port.dtype).view(cls)
        stream.origin = origin if origin is not None else getattr(given, "origin", None)
        return stream

    def __array_finalize__(self, obj: object) -> None:
        """Hand the origin on to views and results."""
        self.origin = getattr(obj, "origin", None)

    if TYPE_CHECKING:
        # numpy's takes anything and gives Any; without it a type checker asks what stands on the right: a function
        def __rshift__(self, other: _Nothing, /) -> Never: ...  # type: ignore[override]


class Frames(Stream):
    """Pictures: uint8 [frames, height, width, 3], RGB."""

    port = PortType("frames", "uint8", ("height", "width", 3))


class Detections(Stream):
    """Detections: float32 [frames, 100, 6].

    A row is x1, y1, x2, y2 in pixels of the source picture, score, class; rows end at the first score ≤ 0.
    """

    port = PortType("detections", "float32", (100, 6))


class Address(str):
    """Where a source reads or a sink writes: a URI. ``chain.input`` and ``chain.output`` give them."""

    __slots__ = ()


class Video(Address):
    """The address of a video."""

    __slots__ = ()
