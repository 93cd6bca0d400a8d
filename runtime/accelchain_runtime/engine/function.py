# SPDX-License-Identifier: Apache-2.0
"""What a function is to the engine.

A function is an object with ``setup`` (once), ``enqueue`` (once a frame) and ``close`` (once). The engine allocates
every output slot after ``setup``, so nothing is allocated a frame. Device functions enqueue and return an event at
once; host functions do their work inside ``enqueue``, in a thread of their own, and return ``None``.

A run that succeeds ends in two steps, so that its results appear together or not at all: ``finish`` of every function
makes results durable where nobody sees them, then ``publish`` of those that have it (``Publisher``) shows them. Between
the two a worker may have to wait for its operator's grant, so that one that was frozen meanwhile publishes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from accelchain_runtime.engine.reach import Reach

Array = NDArray[Any]


class InputError(Exception):
    """The user's input is wrong: never retried, reported with the field that it came from.

    ``parameter`` names the function's parameter at fault; the engine turns it into the DataFlow's field.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class FunctionError(Exception):
    """A function can't go on though nothing is wrong with the user's input: a full disk, a server that went away.

    It may work at the next attempt. The message is a whole sentence for users; no traceback is logged.
    """


class EndOfStream(Exception):  # noqa: N818  (the end is no error)
    """Raised by a source's ``enqueue``: there is no further frame. ``warning`` tells if it ended early."""

    def __init__(self, warning: str | None = None) -> None:
        super().__init__(warning or "end of stream")
        self.warning = warning


class Event(Protocol):
    """Completion of enqueued work (an OpenCL or CUDA event)."""

    def wait(self) -> None:
        """Block until the work is done.

        Raises:
            Exception: the device reported an error for the work.
        """


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and element type of what a port carries; the same for every frame of a run."""

    shape: tuple[int, ...]
    dtype: str = "uint8"

    @property
    def nbytes(self) -> int:
        """Size of one frame in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(slots=True)
class FrameInfo:
    """What travels with a frame along every path."""

    number: int
    """Counted from 0 by the source."""
    time: float
    """Presentation time in seconds from the start of the source."""
    source_size: tuple[int, int]
    """(width, height) in pixels of the picture as the source had it."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Keys of the user's own; read-only after the source, small."""


class Buffer(Protocol):
    """A frame's bytes, as one port sees them.

    A device function uses ``device``; a host function uses ``array``, whose event has already been waited for.
    """

    spec: TensorSpec

    @property
    def array(self) -> Array:
        """A numpy view of shape ``spec.shape`` (host functions only; inputs are read-only)."""

    @property
    def device(self) -> Any:
        """The device's own handle: ``pyopencl.Buffer`` or a CUDA device pointer (device functions only)."""


class LiveSubscription(Protocol):
    """One viewer of a live view."""

    def next(self, timeout: float) -> bytes | None:
        """Wait for the next picture and return it as JPEG; None if there was none within ``timeout`` seconds.

        A slow viewer skips pictures: it gets the newest. Called from a thread of the status server.
        """

    def close(self) -> None:
        """The viewer is gone."""


class LiveSource(Protocol):
    """What a function shows live: JPEG pictures, made only while somebody watches."""

    def subscribe(self) -> LiveSubscription:
        """Begin a view."""


@dataclass(slots=True)
class SetupContext:
    """All that a function learns before the first frame."""

    name: str
    """The function's name within the chain."""
    parameters: Mapping[str, Any]
    """Resolved, defaults of the manifest filled in, checked against the manifest's schema."""
    inputs: Mapping[str, TensorSpec]
    """What each connected input port carries."""
    device: Any
    """The device that the function is bound to: a ``devices.base.Device``, or a ``HostDevice``."""
    mode: str = "Batch"
    """``Batch`` or ``Stream``."""
    folder: Path = Path()
    """The function's folder: its manifest, kernels and models."""
    cache: Path | None = None
    """A folder that survives the process, for compiled kernels and folded weights; None: no cache."""
    source_size: tuple[int, int] = (0, 0)
    """(width, height) of the chain's first source that is upstream of this function."""
    source_rate: float = 0.0
    """Frames a second of that source; 0 if unknown."""
    live: Callable[[str, LiveSource], None] | None = None
    """``live(name, source)`` offers a live view at ``/live/<name>.mjpeg`` of the worker's HTTP server, where ``name``
    is this context's name; None where there is no server."""
    temporary_suffix: str = ".part"
    """What a sink appends to a file's name until the file is whole."""
    attempt: int = 1
    """Which attempt at the flow this is. In mode ``Stream`` each has files of its own (``functions.publication``)."""
    start_frame: int = 0
    """Number of the first frame: a source that can be read again begins there, times go on with it; a live one ignores
    it. The engine numbers frames from it either way."""
    reach: Reach = field(default_factory=Reach)
    """What the function may open; by default whatever the user may."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when no further frame is wanted: a source that waits within ``enqueue`` waits on it, and raises
    ``EndOfStream``."""


class Function(Protocol):
    """A function bound to a device.

    The engine calls ``setup``, then ``enqueue`` a frame, then ``finish`` (and ``publish``, see ``Publisher``), then
    ``close``. A source also offers its ``SourceInfo`` as attribute ``info`` after ``setup``.
    """

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Get ready; return what each output port will carry.

        Sources are opened and outputs checked for writability here, but nothing of the user's is changed.

        Raises:
            InputError: a parameter is wrong, a source unreadable, an output not writable, an input of the wrong shape.
        """

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Work on one frame: read ``inputs``, write ``outputs``.

        Device functions enqueue on ``queue`` after ``wait_for`` and return the event of their last command without
        waiting. Host functions get an empty ``wait_for``, do the work and return None. A source has no inputs: it
        fills ``frame`` (number is set by the engine; time, source_size and meta by the source) and the outputs.

        Raises:
            EndOfStream: a source has no further frame.
            InputError: the frame can't be worked on and the user's input is why.
        """

    def finish(self) -> Mapping[str, Any]:
        """Called once after the last frame, when the run succeeded: make results durable, but not yet visible.

        Nothing is published if ``finish`` of any function raises.

        Returns output parameters for the DataFlow's status (small JSON values).
        """

    def close(self, *, discard: bool = False) -> None:
        """Release everything. Callable in any state, after a failed ``setup`` too.

        Args:
            discard: the run failed or was stopped: remove unfinished files.
        """


@runtime_checkable
class Publisher(Protocol):
    """What a function has besides if its results appear only when the run has succeeded: files, uploads.

    A function without it is taken to have delivered each frame as soon as it is done with it.
    """

    deferred: bool
    """Whether its frames are of no use before ``publish``, as those in a file; after ``setup``. False where it delivers
    them one by one after all, as live video does."""

    def publish(self) -> None:
        """Show what ``finish`` made durable, in one quick step: rename a file, complete an upload.

        Called once, after ``finish`` of every function of the worker returned. A fenced run begins it at most 5 s after
        it was granted, so it must leave no work to do that ``finish`` could have done.
        """


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source knows of its stream after ``setup``; sources offer it as attribute ``info``."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    rate: float = 0.0
    """Frames a second; 0 if unknown."""
    frames: int | None = None
    """Frames that the run will have; None if unknown or endless."""
    recorded: bool = False
    """Whether the stream lies there as a whole: in mode ``Stream`` a host source's frames are then handed on at their
    own times, as a camera would give them."""
