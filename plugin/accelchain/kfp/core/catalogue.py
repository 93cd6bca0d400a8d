# SPDX-License-Identifier: Apache-2.0
"""The functions that tasks may be: by name, and by the images and components that they replace."""

from __future__ import annotations

from collections.abc import Iterable

from accelchain.api.function_type import FunctionType
from accelchain.chain.catalog import Catalog
from accelchain.chain.problems import Problems


class Catalogue:
    """Function types, looked up as tasks name them."""

    def __init__(self, types: Iterable[FunctionType]) -> None:
        self.types = tuple(types)
        self._catalog = Catalog(self.types)
        self._replaced = {name: type_ for type_ in reversed(self.types) for name in type_.spec.replaces}

    def find(self, name: str, version: str | None) -> FunctionType | str:
        """Return the function of that name, or a sentence that says why there is none."""
        problems = Problems()
        found = self._catalog.find(name, version, "", problems)
        return problems.found()[0].message if found is None else found

    def replacing(self, image: str, component: str) -> FunctionType | None:
        """Return the function that stands for an image or a component, None where there is none."""
        return self._replaced.get(image) or self._replaced.get(component)
