# SPDX-License-Identifier: Apache-2.0
"""The API's answers: those that are worth asking again for, and the others as sentences."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from accelchain.cli.api_errors import NOT_INSTALLED, right_of
from accelchain.kfp.launcher.errors import WRONG_INPUT, LaunchError
from accelchain_operators.kube.client import ApiError

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds for which an API that does not answer is waited for."""
PAUSE = 1.0
"""Seconds before it is asked again."""


async def patient(ask: Callable[[], Awaitable[T]], say: Callable[[str], None]) -> T:
    """Ask, and ask again while the API is away.

    Args:
        ask: what is asked; asking twice must do no harm.
        say: told once what is waited for.

    Raises:
        ApiError: it answers something else, or stays away.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            return await ask()
        except ApiError as error:
            if not error.transient or time.monotonic() - began > PATIENCE:
                raise
            if not told:
                told = True
                say(f"waiting: {error.message}")
        await asyncio.sleep(PAUSE)


def explained(error: ApiError, namespace: str) -> LaunchError:
    """Return an answer of the API as a sentence that says what to do."""
    if error.code == 403:
        return LaunchError(
            f"the pipeline's ServiceAccount may not {right_of(error)}: let an administrator apply the rights "
            f"(accelchain kfp install -n {namespace} | kubectl apply -f -)."
        )
    if error.code == 404:
        if "namespaces" in error.message:
            return LaunchError(f"{error.message.rstrip('.')}: name one that is there.", WRONG_INPUT)
        return LaunchError(NOT_INSTALLED)
    if error.code in (400, 422):
        return LaunchError(f"the cluster refuses the DataFlow: {error.message.rstrip('.')}.", WRONG_INPUT)
    if error.transient:
        return LaunchError(f"the cluster's API did not answer for {PATIENCE:.0f} s: {error.message.rstrip('.')}.")
    return LaunchError(f"the cluster answered {error.code}: {error.message.rstrip('.')}.")
