# SPDX-License-Identifier: Apache-2.0
"""How a step lives: timeouts, attempts, streams. Formats are right or wrong; that a time is never reached is odd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelchain.argo.core.body import PATH
from accelchain.argo.core.deadline import parse_duration
from accelchain.argo.core.unknown import JsonObject, is_unknown

_DATAFLOW = f"{PATH}.dataflow"


def check_life(template: JsonObject, defaults: JsonObject, given: JsonObject) -> Iterator[tuple[str, str, bool]]:
    """Yield what is wrong or odd as path within the template, sentence, and whether it is only odd.

    Args:
        template: one of ours.
        defaults: ``templateDefaults`` of its document.
        given: its body, as the author wrote it.
    """
    limits: dict[str, float] = {}
    for field in ("timeout", "activeDeadlineSeconds"):
        value = template.get(field, defaults.get(field))
        if value is None or value == "" or is_unknown(value):
            continue
        try:
            limits[field] = parse_duration(value)
        except ValueError as error:
            yield field, f"{error}.", False
            continue
        if limits[field] <= 0:
            yield field, f"{value} ends the step before it starts: give a time above zero.", False
    flow = given.get("dataflow") if isinstance(given.get("dataflow"), dict) else {}
    assert isinstance(flow, dict)
    own = _number(flow.get("activeDeadlineSeconds"))
    for field, limit in limits.items():
        if own is not None and 0 < limit < own:
            message = f"{own:g} s are never reached: the template's {field} ends the step after {limit:g} s."
            yield f"{_DATAFLOW}.activeDeadlineSeconds", message, True
    attempts = template.get("retryStrategy") or defaults.get("retryStrategy")
    retries = flow.get("retries")
    if attempts and isinstance(retries, dict) and _number(retries.get("limit")):
        message = "the template has a retryStrategy too, and each of its attempts tries so often: keep one of them."
        yield f"{_DATAFLOW}.retries", message, True
    yield from _stream(flow, given, bool(limits) or own is not None)


def _stream(flow: JsonObject, given: JsonObject, limited: bool) -> Iterator[tuple[str, str, bool]]:
    mode, complete_when = flow.get("mode", "Batch"), given.get("completeWhen") or "Finished"
    if mode == "Stream" and complete_when == "Finished" and not limited:
        message = "a Stream never finishes, and neither does this step: write completeWhen: Running, or a timeout."
        yield f"{_DATAFLOW}.mode", message, True
    if mode == "Batch" and complete_when == "Running" and "mode" not in flow:
        message = "the step completes while its Batch flow still runs, whatever becomes of it: write mode: Stream."
        yield f"{PATH}.completeWhen", message, True


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or is_unknown(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
