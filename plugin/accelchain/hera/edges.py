# SPDX-License-Identifier: Apache-2.0
"""Arguments of a call under ``with Chain`` that are ports."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from accelchain.api.function_type import FunctionType
from accelchain.chain.problems import choose
from accelchain.hera.accelerated import Accelerated
from accelchain.hera.errors import CompositionError
from accelchain.hera.ports import ChainPort


def connect(
    function: Accelerated[Any, Any],
    bound: inspect.BoundArguments,
    type_: FunctionType,
    where: str,
    chain: int,
    before: Mapping[str, Accelerated[Any, Any]],
) -> Iterator[tuple[ChainPort, str]]:
    """Yield the output ports that feed the call's inputs, each with the name of the input.

    Args:
        function: what is called.
        bound: its arguments.
        type_: its FunctionType.
        where: the function in its chain, for messages.
        chain: key of the chain.
        before: the functions that were called before, by their name in the chain.

    Raises:
        CompositionError: an argument is no port of this chain, or carries another type.
    """
    known = [port.name for port in type_.spec.inputs]
    for port in function.signature.inputs:
        if port.name not in known:
            raise CompositionError(
                f"{where}: '{function.function_name}' has no input '{port.name}': {choose(port.name, known)}"
            )
        value = bound.arguments.get(port.name)
        if value is None and port.optional:
            continue
        if not isinstance(value, ChainPort):
            raise CompositionError(
                f"{where}, input '{port.name}': {type(value).__name__} is no port: "
                "give what another accelerated function of this chain returned."
            )
        if value.chain_key != chain:
            raise CompositionError(
                f"{where}, input '{port.name}': '{value}' is a port of chain '{value.chain}': "
                "chains hand over artifacts; call the function that makes it in this chain too."
            )
        source = next(p for p in before[value.function].signature.outputs if p.name == value.port)
        if source.type.port.name != port.type.port.name:
            raise CompositionError(
                f"{where}, input '{port.name}': '{value}' carries {source.type.port.name}, "
                f"{port.type.port.name} are wanted: put a function between them."
            )
        yield value, port.name
