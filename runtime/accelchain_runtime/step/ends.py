# SPDX-License-Identifier: Apache-2.0
"""The two functions that stand where the rest of the chain would: one gives what a file holds, one fills a file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelchain_runtime.engine.function import InputError, SetupContext, TensorSpec
from accelchain_runtime.functions.file_ends import FileSink, FileSource
from accelchain_runtime.functions.files import UnfinishedFile
from accelchain_runtime.registry import FunctionFolder

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


class ReadPort(FileSource):
    """A source: the frames of a file."""

    port = PORT

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open the file.

        Returns:
            What the file carries.

        Raises:
            InputError: it can't be read, or carries something else than the port wants.
        """
        path, wanted = str(context.parameters["file"]), str(context.parameters["kind"])
        try:
            file = io.BufferedReader(io.FileIO(path), 1 << 20)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}.", parameter="file") from None
        header = self.begin(file, path, "file")
        if header.kind != wanted:
            raise InputError(f"{path}: it carries {header.kind}, not {wanted}.", parameter="file")
        return {PORT: header.spec}


class WritePort(FileSink):
    """A sink: a file that is seen once it is whole."""

    port = PORT

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open an unfinished file beside the result.

        Returns:
            Nothing: a sink has no outputs.

        Raises:
            InputError: it can't be written.
        """
        output = UnfinishedFile(Path(str(context.parameters["file"])), parameter="file")
        self.begin(output, str(context.parameters["kind"]), context)
        return {}
