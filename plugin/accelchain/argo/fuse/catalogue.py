# SPDX-License-Identifier: Apache-2.0
"""The functions that steps may stand for."""

from __future__ import annotations

from collections.abc import Iterable

from accelchain.api.function_type import FunctionType
from accelchain.chain.catalog import Catalog, check_type
from accelchain.chain.problems import Problems


class Functions:
    """Function types: by the name that an annotation gives, and by the images and scripts that they replace."""

    def __init__(self, types: Iterable[FunctionType]) -> None:
        self.types = tuple(types)
        self._catalog = Catalog(self.types)
        self._replaced = {name: type_.function for type_ in reversed(self.types) for name in type_.spec.replaces}
        self._faults: dict[tuple[str, str], str] = {}

    def find(self, name: str, version: str | None) -> FunctionType | str:
        """Return the function of that name, or a sentence that says why there is none."""
        problems = Problems()
        found = self._catalog.find(name, version, "", problems)
        return problems.found()[0].message if found is None else found

    def replacing(self, component: str) -> str | None:
        """Return the name of the function that stands for an image with its digest, or for a script."""
        return self._replaced.get(component)

    def fault(self, type_: FunctionType) -> str:
        """Return what is wrong with a function type itself; empty where nothing is."""
        key = (type_.function, type_.spec.version)
        if key not in self._faults:
            found = check_type(type_)
            self._faults[key] = found[0].message if found else ""
        return self._faults[key]
