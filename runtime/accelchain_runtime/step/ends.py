# SPDX-License-Identifier: Apache-2.0
"""The two functions that stand where the rest of the chain would: one gives what a file holds, one fills a file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelchain_runtime.engine.function import (
    Buffer,
    EndOfStream,
    Event,
    FrameInfo,
    FunctionError,
    InputError,
    SetupContext,
    SourceInfo,
    TensorSpec,
)
from accelchain_runtime.functions.files import UnfinishedFile, writing
from accelchain_runtime.registry import FunctionFolder

from .frames_file import FramesReader, FramesWriter, Header

READ, WRITE, PORT = "read-port", "write-port", "carried"


def folders() -> list[FunctionFolder]:
    """Return both as functions of a registry. They are no FunctionTypes: no flow may name them."""
    return [
        _folder(READ, {"outputs": [{"name": PORT}]}, "ends:ReadPort"),
        _folder(WRITE, {"inputs": [{"name": PORT}]}, "ends:WritePort"),
    ]


def _folder(name: str, ports: dict[str, Any], entrypoint: str) -> FunctionFolder:
    spec = ports | {
        "parameters": [{"name": "file", "type": "string"}, {"name": "kind", "type": "string"}],
        "implementations": [{"name": "host", "api": "host", "entrypoint": entrypoint}],
    }
    return FunctionFolder(Path(__file__).parent, {"metadata": {"name": name}, "spec": spec}, __package__)


class ReadPort:
    """A source: the frames of a file."""

    def __init__(self) -> None:
        self.info = SourceInfo((0, 0))
        self._file: io.BufferedReader | None = None
        self._reader: FramesReader | None = None

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open the file.

        Returns:
            What the file carries.

        Raises:
            InputError: it can't be read, or carries something else than the port wants.
        """
        path, wanted = str(context.parameters["file"]), str(context.parameters["kind"])
        try:
            self._file = io.BufferedReader(io.FileIO(path), 1 << 20)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}.", parameter="file") from None
        self._reader = FramesReader(self._file, path)
        header = self._reader.header
        if header.kind != wanted:
            raise InputError(f"{path}: it carries {header.kind}, not {wanted}.", parameter="file")
        self.info = header.source
        return {PORT: header.spec}

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
        """
        assert self._reader is not None
        if not self._reader.read(frame, outputs[PORT].array):
            raise EndOfStream
        return None

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class WritePort:
    """A sink: a file that is seen once it is whole."""

    deferred = True

    def __init__(self) -> None:
        self._output: UnfinishedFile | None = None
        self._writer: FramesWriter | None = None

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open an unfinished file beside the result.

        Returns:
            Nothing: a sink has no outputs.

        Raises:
            InputError: it can't be written.
        """
        self._output = UnfinishedFile(Path(str(context.parameters["file"])), parameter="file")
        source = SourceInfo(context.source_size, context.source_rate)
        header = Header(str(context.parameters["kind"]), context.inputs[PORT], source)
        with writing(self._output.name):
            self._writer = FramesWriter(self._output.file, header)
        return {}

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
                self._writer.write(frame, inputs[PORT].array)
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
