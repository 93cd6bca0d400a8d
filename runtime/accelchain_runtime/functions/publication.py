# SPDX-License-Identifier: Apache-2.0
"""Results of sinks that appear only when the whole run has succeeded, wherever they go.

A sink calls ``open_sink`` in ``setup``, writes to ``file`` in ``enqueue``, calls ``complete`` in ``finish``,
``publish`` in ``publish`` and ``discard`` in ``close``. What an address leads to is told by its scheme: a line in
``SINKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from accelchain_runtime.engine.function import SetupContext
from accelchain_runtime.functions.addresses import parse
from accelchain_runtime.functions.remote.sinks import open_file, open_http, open_s3


class Unfinished(Protocol):
    """A result being written."""

    file: BinaryIO
    """Where the bytes go; seekable. Writing raises OSError (``files.writing`` makes a sentence of it)."""

    @property
    def name(self) -> str:
        """Path or address as the result is called, ending included, for messages: without password and query."""

    def complete(self) -> int:
        """Make the result durable where nobody sees it, and return its size in bytes.

        Raises:
            files.WriteError: it can't be written any further.
        """

    def publish(self) -> None:
        """Show the completed result in one quick step, in place of an earlier one.

        Raises:
            files.WriteError: it can't be shown.
        """

    def discard(self) -> None:
        """Forget the result unless it is published, and release everything. Callable in any state."""


Opener = Callable[[str, SetupContext, str], Unfinished]
"""``opener(address, context, parameter)``: open a result; an ``InputError`` names the parameter at fault."""

SINKS: Mapping[str, Opener] = {"file": open_file, "s3": open_s3, "http": open_http, "https": open_http}
"""By scheme."""


def open_sink(address: str, context: SetupContext, parameter: str = "uri") -> Unfinished:
    """Open what a sink writes to.

    Args:
        address: the sink's parameter: an absolute path, or an address of a scheme that this version can write to.
        context: the sink's.
        parameter: the name of that parameter.

    Raises:
        InputError: the address is malformed, of another scheme, or can't be written.
    """
    scheme = parse(address, tuple(SINKS), parameter).scheme
    return SINKS[scheme](address, context, parameter)
