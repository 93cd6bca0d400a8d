# SPDX-License-Identifier: Apache-2.0
"""Openers of results, for ``functions.publication``.

What they need is imported when one is opened: a worker that writes files only has no HTTP library in its memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelchain_runtime.engine.function import InputError, SetupContext
from accelchain_runtime.functions.addresses import Address, parse
from accelchain_runtime.functions.files import UnfinishedFile, name_of_attempt

from . import confined
from .failures import Refused, as_input_error

if TYPE_CHECKING:
    from .http_sink import HttpSink
    from .s3_sink import S3Sink

_SECONDS = 15.0
"""How long a server may take to answer, and to take any further data."""


def open_file(text: str, context: SetupContext, parameter: str) -> UnfinishedFile:
    """Open the file of a ``file:`` address or an absolute path; of a confined plan only in a volume.

    Raises:
        InputError: the address is malformed, in no volume, or can't be written.
    """
    path = parse(text, ("file",), parameter).path
    if not path.name:
        raise InputError(f"{path} is a folder.", parameter=parameter)
    path = path.with_name(name_of_attempt(path.name, context))
    folder = None
    if context.reach.confined:
        try:
            folder = confined.open_folder(path, context.reach.volumes)
        except Refused as error:
            raise as_input_error(error, parameter) from None
    return UnfinishedFile(path, context.temporary_suffix, parameter, folder=folder)


def open_s3(text: str, context: SetupContext, parameter: str) -> S3Sink:
    """Begin an upload to an ``s3:`` address.

    Raises:
        InputError: the address, credentials or rules are wrong.
        Unavailable: the server is down.
    """
    from .s3_client import S3
    from .s3_sink import S3Sink

    address = parse(text, ("s3",), parameter)
    try:
        return S3Sink(S3(_of_attempt(address, context), text, context.reach, _SECONDS))
    except Refused as error:
        raise as_input_error(error, parameter) from None


def open_http(text: str, context: SetupContext, parameter: str) -> HttpSink:
    """Get ready to PUT to an ``http(s):`` address.

    Raises:
        InputError: the address, credentials or rules are wrong.
        Unavailable: the server is down.
    """
    from .http_sink import HttpSink

    address = parse(text, ("http", "https"), parameter)
    try:
        return HttpSink(_of_attempt(address, context), text, context.reach, _SECONDS)
    except Refused as error:
        raise as_input_error(error, parameter) from None


def _of_attempt(address: Address, context: SetupContext) -> Address:
    """The address that this attempt writes to; see ``name_of_attempt``."""
    folder, slash, last = address.route.rpartition("/")
    return address.with_route(f"{folder}{slash}{name_of_attempt(last, context)}")
