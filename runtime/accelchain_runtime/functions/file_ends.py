# SPDX-License-Identifier: Apache-2.0
"""A source that gives what a frames file holds, and a sink that fills one. Which file, their subclasses know."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import (
    Buffer,
    EndOfStream,
    Event,
    FrameInfo,
    FunctionError,
    SetupContext,
    SourceInfo,
)
from accelchain_runtime.functions.files import writing
from accelchain_runtime.functions.frames_file import FramesReader, FramesWriter, Header
from accelchain_runtime.functions.publication import Unfinished


class FileSource:
    """A source: the frames of a file. A subclass's ``setup`` opens it and calls ``begin``."""

    port = ""
    """The output's name."""

    def __init__(self) -> None:
        self.info = SourceInfo((0, 0))
        self._file: io.BufferedReader[Any] | None = None
        self._reader: FramesReader | None = None

    def begin(self, file: io.BufferedReader[Any], name: str, parameter: str) -> Header:
        """Take over an open file, which ``close`` closes, and read what is the same for every frame.

        Args:
            file: at its beginning.
            name: for messages.
            parameter: the function's parameter that names it.

        Raises:
            InputError: it is no such file, of another version, or was not finished.
        """
        self._file = file
        self._reader = FramesReader(file, name, parameter)
        self.info = self._reader.header.source
        return self._reader.header

    def skip(self, frames: int, context: SetupContext) -> None:
        """Read over the first frames: the attempt begins behind them.

        Raises:
            InputError: the file is damaged there.
        """
        if not frames:
            return
        assert self._reader is not None
        spec = self._reader.header.spec
        array = np.empty(spec.shape, spec.dtype)
        for number in range(frames):
            if context.stopping.is_set() or not self._reader.read(FrameInfo(number, 0.0, (0, 0)), array):
                return

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Give the next frame.

        Raises:
            EndOfStream: there is none.
            InputError: the file is damaged.
            FunctionError: it can't be read any further.
        """
        assert self._reader is not None
        if not self._reader.read(frame, outputs[self.port].array):
            raise EndOfStream
        return None

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class FileSink:
    """A sink: a file that is seen once it is whole. A subclass's ``setup`` opens it and calls ``begin``."""

    deferred = True
    port = ""
    """The input's name."""

    def __init__(self) -> None:
        self._output: Unfinished | None = None
        self._writer: FramesWriter | None = None

    def begin(self, output: Unfinished, kind: str, context: SetupContext) -> None:
        """Take over an unfinished file, which ``close`` discards, and write what is the same for every frame.

        Args:
            output: empty.
            kind: the type of the port that is written.
            context: the sink's.

        Raises:
            WriteError: it can't be written.
        """
        self._output = output
        source = SourceInfo(context.source_size, context.source_rate)
        with writing(output.name):
            self._writer = FramesWriter(output.file, Header(kind, context.inputs[self.port], source))

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Write one frame.

        Raises:
            WriteError: it can't be written.
            FunctionError: its own keys are no JSON.
        """
        assert self._output is not None and self._writer is not None
        try:
            with writing(self._output.name):
                self._writer.write(frame, inputs[self.port].array)
        except (TypeError, ValueError) as error:
            raise FunctionError(f"what travels with frame {frame.number} can't be kept in a file: {error}.") from error
        return None

    def finish(self) -> Mapping[str, Any]:
        """Make the file durable, not to be seen yet.

        Returns:
            ``frames``: how many it holds.

        Raises:
            WriteError: it can't be written.
        """
        assert self._output is not None and self._writer is not None
        with writing(self._output.name):
            self._writer.end()
        self._output.complete()
        return {"frames": self._writer.frames}

    def publish(self) -> None:
        """Put the file in place.

        Raises:
            WriteError: it can't be put there.
        """
        assert self._output is not None
        self._output.publish()

    def close(self, *, discard: bool = False) -> None:
        """Forget the file, unless it is published."""
        if self._output is not None:
            self._output.discard()
