# SPDX-License-Identifier: Apache-2.0
"""Probes the mechanisms that an edge may use and takes the fastest that delivers what was sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accelchain_runtime.devices.base import Array
from accelchain_runtime.engine.function import InputError, TensorSpec
from accelchain_runtime.links import MECHANISMS
from accelchain_runtime.links.base import (
    AnyDevice,
    Connect,
    Link,
    Memory,
    free_memory,
    is_accelerator,
    new_memory,
)

log = logging.getLogger("links")

_ROUNDS = 2
"""Each with a pattern of its own: a link that delivers the last frame again is found out."""
_PATTERN_BYTES = 65_521
"""A prime, so that no page holds what another holds."""


class LinkError(Exception):
    """No mechanism of an edge delivered what was sent."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The mechanism that an edge takes."""

    mechanism: str
    seconds: float
    """Time that the probe's frame took, from ready until the consumer could begin."""


def choose(
    edge: str,
    producer: AnyDevice,
    consumer: AnyDevice,
    spec: TensorSpec,
    allowed: Sequence[str],
    mechanisms: Mapping[str, Connect] = MECHANISMS,
) -> Choice:
    """Return the fastest mechanism that verified; the earlier one in ``allowed`` where two are equal.

    Raises:
        InputError: none of the mechanisms allowed serves this pair of devices.
        LinkError: those that do did not deliver what was sent.
    """
    choices: list[Choice] = []
    failures: list[str] = []
    memory = new_memory(producer, spec)
    try:
        for name in allowed:
            link = mechanisms[name](producer, consumer, [memory])
            if link is None:
                continue
            try:
                seconds = probe(link, producer, consumer, memory)
            except Exception as error:  # a driver that refuses the mechanism: the others are tried, and it is said
                failures.append(f"{name} failed ({error})")
            else:
                if seconds is None:
                    failures.append(f"{name} delivered wrong bytes")
                else:
                    choices.append(Choice(name, seconds))
            finally:
                link.close()
    finally:
        free_memory(producer, memory)
    for failure in failures:
        log.warning("%s: %s and is not used", edge, failure)
    if choices:
        return min(choices, key=lambda choice: choice.seconds)
    if failures:
        raise LinkError(
            f"{edge}: no mechanism works between {producer.name} and {consumer.name}: {'; '.join(failures)}."
        )
    raise InputError(
        f"{edge}: {producer.name} and {consumer.name} can't be connected by {', '.join(allowed)}; "
        "allow host-copy, which serves every pair."
    )


def probe(link: Link, producer: AnyDevice, consumer: AnyDevice, memory: Memory) -> float | None:
    """Send patterns through slot 0 of the link.

    Returns:
        The fastest round's seconds; None if the consumer's side did not read what the producer's side wrote.
    """
    fastest: float | None = None
    for number in range(_ROUNDS):
        pattern = _pattern(memory.spec.nbytes, number)
        _write(producer, memory, pattern)
        start = time.perf_counter()
        event = link.carry(0, None)
        if event is not None:
            event.wait()
        seconds = time.perf_counter() - start
        if not np.array_equal(_read(consumer, link, memory.spec.nbytes), pattern):
            return None
        released = link.release(0, None)
        if released is not None:
            released.wait()
        fastest = seconds if fastest is None else min(fastest, seconds)
    return fastest


def _pattern(nbytes: int, number: int) -> Array:
    random = np.random.default_rng(number).integers(0, 256, _PATTERN_BYTES, dtype=np.uint8)
    return np.resize(random, nbytes)


def _write(producer: AnyDevice, memory: Memory, pattern: Array) -> None:
    if is_accelerator(producer):
        producer.write(producer.queue, memory.handle, pattern).wait()
    else:
        assert memory.pages is not None
        memory.pages[: pattern.size] = pattern


def _read(consumer: AnyDevice, link: Link, nbytes: int) -> Array:
    if is_accelerator(consumer):
        found = np.empty(nbytes, np.uint8)
        consumer.read(consumer.queue, link.buffers[0].device, found).wait()
        return found
    return link.buffers[0].array.reshape(-1).view(np.uint8)
