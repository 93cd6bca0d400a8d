# SPDX-License-Identifier: Apache-2.0
"""load-…: a source that gives what a frames file at an address holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from accelchain_runtime.engine.function import FunctionError, InputError, SetupContext, TensorSpec
from accelchain_runtime.functions.addresses import parse
from accelchain_runtime.functions.file_ends import FileSource
from accelchain_runtime.functions.remote.failures import Refused, Unavailable, as_input_error
from accelchain_runtime.functions.remote.sources import Source, open_source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SCHEMES = ("file", "http", "https", "s3")
_BUFFER_BYTES = 1 << 20


class Load(FileSource):
    """A source whose file lies at ``uri``. A subclass says what it must carry."""

    kind = ""
    """The port's type."""
    shape: tuple[int | None, ...] = ()
    """None: any size."""
    dtype = ""

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open the file, and read over the frames of earlier attempts.

        Returns:
            What the file carries.

        Raises:
            InputError: ``uri`` is malformed, missing, unreadable, or holds no such file.
            FunctionError: its server is down or slow.
        """
        uri, timeout = str(context.parameters["uri"]), float(context.parameters.get("timeout", 15))
        address = parse(uri, SCHEMES)
        try:
            source = open_source(address, uri, context.reach, timeout)
            header = self.begin(io.BufferedReader(_Reading(source, address.shown), _BUFFER_BYTES), address.shown, "uri")
            self._check(header.kind, header.spec, address.shown)
            self.skip(context.start_frame, context)
        except Unavailable as error:
            raise FunctionError(str(error)) from error
        except Refused as error:
            raise as_input_error(error) from None
        left = max(0, (self.info.frames or 0) - context.start_frame)
        self.info = replace(self.info, frames=left, recorded=True)
        return {self.port: header.spec}

    def _check(self, kind: str, spec: TensorSpec, shown: str) -> None:
        fits = len(spec.shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, spec.shape, strict=True)
        )
        if kind != self.kind or spec.dtype != self.dtype or not fits:
            wanted = f"{self.kind} ({self.dtype} [{', '.join('any' if n is None else str(n) for n in self.shape)}])"
            raise InputError(
                f"{shown}: it carries {kind} ({spec.dtype} {list(spec.shape)}), not {wanted}.", parameter="uri"
            )


class _Reading(io.RawIOBase):
    """A source's bytes. What ends them early is raised, as it would be taken for the file's end otherwise."""

    def __init__(self, source: Source, shown: str) -> None:
        self._source = source
        self._shown = shown

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer`` as far as there is something at hand; 0 at the end.

        Raises:
            Unavailable, Refused: the server broke off.
            FunctionError: the disk did.
        """
        file, view = self._source.file, memoryview(buffer).cast("B")
        if isinstance(file, io.FileIO):
            try:
                return file.readinto(view) or 0
            except OSError as error:
                raise FunctionError(f"can't read {self._shown}: {error.strerror or error}.") from error
        data = file.read(view.nbytes)
        if not data and self._source.failure is not None:
            raise self._source.failure
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the source and its connections."""
        if not self.closed:
            super().close()
            self._source.close()
