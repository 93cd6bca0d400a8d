# SPDX-License-Identifier: Apache-2.0
"""What stands for the value of a chain's parameter until Argo fills it in."""

from __future__ import annotations

from typing import Any, NoReturn

from accelchain.hera.errors import CompositionError


class Unknown(str):
    """``{{inputs.parameters.width}}``: a text that goes wherever the value goes. Nothing is calculated from it.

    Type checkers take it for the value: what they let pass, and would be wrong, is refused here.
    """

    __slots__ = ()

    def _refuse(self, *_: Any) -> NoReturn:
        name = self.removeprefix("{{inputs.parameters.").removesuffix("}}")
        raise CompositionError(
            f"parameter '{name}': its value is known when the step starts, so Python can neither calculate nor decide "
            f"with it: write an expression of Argo's, '{{{{=asInt(inputs.parameters.{name}) * 2}}}}', or use when."
        )

    def __add__(self, other: Any) -> str:
        """Join texts."""
        return str.__add__(self, other) if isinstance(other, str) else self._refuse()

    def __radd__(self, other: Any) -> str:
        """Join texts."""
        return str.__add__(other, self) if isinstance(other, str) else self._refuse()

    __bool__ = __mul__ = __rmul__ = __neg__ = __abs__ = __int__ = __float__ = __round__ = _refuse
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
