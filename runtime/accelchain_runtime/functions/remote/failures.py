# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a remote source or sink, and whose fault it is."""

from __future__ import annotations

from accelchain_runtime.engine.function import InputError


class Unavailable(Exception):  # noqa: N818  (says what happened)
    """The other side is down, slow or broke off: may work at the next attempt. The message is a sentence."""


class Refused(Exception):  # noqa: N818  (says what happened)
    """The address, the credentials or the rules are wrong: no attempt will work. The message is a sentence."""


def as_input_error(error: Refused, parameter: str = "uri") -> InputError:
    """The user's error that a refusal is at setup."""
    return InputError(str(error), parameter=parameter)
