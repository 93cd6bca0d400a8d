# SPDX-License-Identifier: Apache-2.0
"""The file that carries what a port carries: every frame, uncompressed, with all that travels with it.

docs/functions.md describes the format. It is written and read front to back, a frame at a time; only the number of
frames, at the beginning, is filled in at the end.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from accelchain_runtime.engine.function import Array, FrameInfo, InputError, SourceInfo, TensorSpec

_MAGIC = b"ACCELFRM"
_VERSION = 1
_BEGIN = struct.Struct("<8sIIQ")
"""Magic, version, bytes of the header, number of frames."""
_LENGTH = struct.Struct("<I")
_UNFINISHED = 2**64 - 1
_HEADER_BYTES = 64 << 10
_FRAME_BYTES = 1 << 20
"""Of what travels with a frame."""
_PAYLOAD_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Header:
    """What is the same for every frame."""

    kind: str
    """The port's type: frames, detections, tensor or a name of one's own."""
    spec: TensorSpec
    source: SourceInfo
    """The chain's source, as the functions behind it know it."""


class FramesWriter:
    """Writes a file. Errors of the system are raised as they are."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        """Write the header.

        Args:
            file: empty, and seekable.
            header: of all frames.
        """
        self._file = file
        self.frames = 0
        document = {
            "kind": header.kind,
            "shape": list(header.spec.shape),
            "dtype": np.dtype(header.spec.dtype).name,
            "source": {"size": list(header.source.size), "framesPerSecond": header.source.rate},
        }
        self._header = json.dumps(document).encode()
        self._file.write(_BEGIN.pack(_MAGIC, _VERSION, len(self._header), _UNFINISHED))
        self._file.write(self._header)

    def write(self, frame: FrameInfo, array: Array) -> None:
        """Append a frame.

        Raises:
            TypeError, ValueError: the frame's own keys are no JSON, or too long.
        """
        told = json.dumps(asdict(frame), allow_nan=False).encode()
        if len(told) > _FRAME_BYTES:
            raise ValueError(f"frame {frame.number} carries {len(told)} bytes of keys; at most {_FRAME_BYTES} are kept")
        self._file.write(_LENGTH.pack(len(told)))
        self._file.write(told)
        self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self.frames += 1

    def end(self) -> None:
        """Say how many frames there are: without it the file is taken for an unfinished one."""
        self._file.seek(0)
        self._file.write(_BEGIN.pack(_MAGIC, _VERSION, len(self._header), self.frames))
        self._file.seek(0, os.SEEK_END)


class FramesReader:
    """Reads a file.

    Attributes:
        header: of all frames.
        frames: how many there are.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, parameter: str = "file") -> None:
        """Read the header.

        Args:
            file: at its beginning.
            name: for messages.
            parameter: the function's parameter that names it.

        Raises:
            InputError: it is no such file, of another version, or was not finished.
        """
        self._file = file
        self._name, self._parameter = name, parameter
        self._next = 0
        begin = file.read(_BEGIN.size)
        if len(begin) < _BEGIN.size or not begin.startswith(_MAGIC):
            raise self._wrong("it was not written by accelchain step (no frames file)")
        _, version, length, self.frames = _BEGIN.unpack(begin)
        if version != _VERSION:
            raise self._wrong(f"it is of version {version}; this worker reads version {_VERSION}")
        if self.frames == _UNFINISHED:
            raise self._wrong("it was never finished")
        text = file.read(length) if length <= _HEADER_BYTES else b""
        try:
            self.header = _header(json.loads(text), self.frames)
        except (ValueError, TypeError, KeyError) as error:
            raise self._wrong(f"its header is damaged ({type(error).__name__})") from None

    def read(self, frame: FrameInfo, array: Array) -> bool:
        """Read the next frame into ``array``, and what travels with it into ``frame``, whose number must be its own.

        Returns:
            False where there is none.

        Raises:
            InputError: the file is truncated or damaged, or the frame has another number.
        """
        if self._next == self.frames:
            if self._file.read(1):
                raise self._wrong("it goes on after its last frame")
            return False
        length = self._file.read(_LENGTH.size)
        size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else 0
        told = self._file.read(size) if 0 < size <= _FRAME_BYTES else b""
        if not told or len(told) < size or not self._fill(array):
            raise self._wrong(f"it is truncated or damaged at frame {self._next} of {self.frames}")
        try:
            read = _frame(json.loads(told))
        except (ValueError, TypeError, KeyError):
            raise self._wrong(f"what travels with frame {self._next} is damaged") from None
        if read.number != frame.number:
            raise self._wrong(f"frame {read.number} stands where frame {frame.number} is wanted")
        frame.time, frame.source_size, frame.meta = read.time, read.source_size, read.meta
        self._next += 1
        return True

    def _fill(self, array: Array) -> bool:
        left = array.reshape(-1).view(np.uint8).data
        while left.nbytes:
            count = self._file.readinto(left)
            if not count:
                return False
            left = left[count:]
        return True

    def _wrong(self, problem: str) -> InputError:
        return InputError(f"{self._name}: {problem}.", parameter=self._parameter)


def _header(document: dict[str, Any], frames: int) -> Header:
    shape = tuple(int(size) for size in document["shape"])
    spec = TensorSpec(shape, np.dtype(str(document["dtype"])).name)
    if not shape or min(shape) < 1 or math.prod(shape) * np.dtype(spec.dtype).itemsize > _PAYLOAD_BYTES:
        raise ValueError("shape")
    source = document["source"]
    return Header(
        str(document["kind"]), spec, SourceInfo(_pair(source["size"]), float(source["framesPerSecond"]), frames)
    )


def _frame(document: dict[str, Any]) -> FrameInfo:
    meta = document["meta"]
    if not isinstance(meta, dict):
        raise TypeError("meta")
    return FrameInfo(int(document["number"]), float(document["time"]), _pair(document["source_size"]), meta)


def _pair(value: Any) -> tuple[int, int]:
    width, height = value
    return int(width), int(height)
