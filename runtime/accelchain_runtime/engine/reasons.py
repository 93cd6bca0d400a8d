# SPDX-License-Identifier: Apache-2.0
"""Why a run ended: reason, sentence and field of the status document (pure, but for the log).

The reason says who can mend it: ``InvalidInput`` the user, so it is never retried; ``FunctionFailed`` and
``DeviceFailed`` the next attempt, perhaps.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from accelchain_runtime.devices.pool import AnyDevice, DeviceError
from accelchain_runtime.engine.assemble import SetupFailed
from accelchain_runtime.engine.flow import RunFailed
from accelchain_runtime.engine.function import FunctionError, InputError
from accelchain_runtime.engine.plan import Plan
from accelchain_runtime.engine.threads import Stop
from accelchain_runtime.links.base import is_accelerator
from accelchain_runtime.links.choose import LinkError

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run ended that did not succeed."""

    reason: str
    message: str
    parameter: str = ""
    """The DataFlow's field at fault."""


def explain(error: Exception, plan: Plan, devices: Collection[AnyDevice], stop: Stop | None) -> Failure:
    """Return what ended the run.

    Args:
        error: what was raised.
        plan: tells which field a parameter came from.
        devices: those of the run, as far as they are open.
        stop: whether somebody wanted the run to end: what breaks after that counts as the stop.
    """
    function, cause, on_device = "", error, False
    if isinstance(error, RunFailed):
        if isinstance(error.cause, Stop):
            return Failure(error.cause.reason, error.cause.message)
        function, on_device = error.cause.function, error.cause.device
        if not isinstance(error.cause.error, Exception):
            return Failure("FunctionFailed", named(function, error.cause.error))
        cause = error.cause.error
    elif isinstance(error, SetupFailed):
        if not isinstance(error.error, Exception):
            return Failure("FunctionFailed", named(error.function, error.error))
        function, cause = error.function, error.error
    elif stop is not None:
        return Failure(stop.reason, stop.message)
    if isinstance(cause, InputError):
        return Failure("InvalidInput", named(function, cause), _field(plan, function, cause.parameter))
    told = isinstance(cause, _SENTENCES)  # of all else the place in the code matters
    log.error("%s: %s", function or "worker", cause, exc_info=None if told else cause)
    on_device = on_device or any(is_accelerator(device) and device.is_device_error(cause) for device in devices)
    if on_device or isinstance(cause, DeviceError | LinkError):
        return Failure("DeviceFailed", named(function, cause))
    return Failure("FunctionFailed", named(function, cause))


_SENTENCES = (InputError, FunctionError, DeviceError, LinkError)
"""Errors whose text is a sentence for users."""


def named(function: str, error: BaseException) -> str:
    """Return what an error says, behind the function's name; its class where that says more than the text."""
    text = str(error) if isinstance(error, _SENTENCES) else f"{type(error).__name__}: {error}"
    return text if not function or text.startswith(f"{function}:") else f"{function}: {text}"


def _field(plan: Plan, function: str, parameter: str | None) -> str:
    """Return the DataFlow's field that a parameter came from."""
    plans = {entry.name: entry for entry in plan.functions}
    if not parameter or function not in plans:
        return ""
    return plans[function].origins.get(parameter, "")
