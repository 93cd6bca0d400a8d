# SPDX-License-Identifier: Apache-2.0
"""What a call under ``with Chain`` gives back: an output port of a function of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from accelchain.hera.errors import CompositionError


@dataclass(frozen=True, slots=True)
class ChainPort:
    """An output port. To a type checker it is what the function returns."""

    chain: str
    """Name of the chain."""
    chain_key: int
    """Which chain object it belongs to: two may have one name."""
    function: str
    port: str

    def __str__(self) -> str:
        return f"{self.function}.{self.port}"

    def __array__(self, *_: object, **__: object) -> NoReturn:
        """Refuse numpy: there are no values yet.

        Raises:
            CompositionError: always.
        """
        raise CompositionError(
            f"'{self}' of chain '{self.chain}' is a port, which holds no values here: "
            "compute with them in an accelerated function, or call the functions outside of `with Chain`."
        )
