# SPDX-License-Identifier: Apache-2.0
"""CEL expressions: compiled with ``common-expression-language``, with the functions that Kubernetes adds."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from accelchain_operators.localkube.schema.cel_functions import FUNCTIONS

_NATIVE = frozenset(
    [
        "all",
        "exists",
        "exists_one",
        "map",
        "filter",
        "has",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "dyn",
        "type",
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "getFullYear",
        "getMonth",
        "getDayOfYear",
        "getDayOfMonth",
        "getDate",
        "getDayOfWeek",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "hasValue",
        "value",
        "orValue",
        "or",
        "optional.of",
        "optional.none",
    ]
)
# a namespaced function is reported by its last name and its namespace as a variable: math.abs is abs and math
_KNOWN = _NATIVE | {name.rpartition(".")[2] for name in FUNCTIONS} | {"of", "none"}
_NAMESPACES = frozenset(["optional", "math", "sets"])
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_TYPES = frozenset(
    [
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "bool",
        "list",
        "map",
        "null_type",
        "type",
        "timestamp",
        "duration",
        "optional",
    ]
)


ABSENT: Any = object()


class CelError(ValueError):
    """An expression that can't be compiled; ``field`` is the rule's field that holds it."""

    def __init__(self, expression: str, message: str, field: str = "rule") -> None:
        super().__init__(message)
        self.expression = expression
        self.field = field


class CelRuntimeError(ValueError):
    """An expression that failed on a value."""


@cache
def _cel() -> ModuleType:
    # `import cel` runs the package's __init__, which imports its command line (typer, rich, prompt_toolkit): 25 MB
    # and 0.15 s that a server at rest would hold for nothing. The extension module alone does the work.
    if (loaded := sys.modules.get("cel.cel")) is not None:
        return loaded
    package = importlib.util.find_spec("cel")
    if package is None or not package.submodule_search_locations:
        raise ImportError("the package common-expression-language is not installed")
    folder = Path(next(iter(package.submodule_search_locations)))
    extension = next(file for file in sorted(folder.glob("cel.*")) if file.suffix in (".so", ".pyd"))
    spec = importlib.util.spec_from_file_location("cel.cel", extension)
    if spec is None or spec.loader is None:
        raise ImportError(f"{extension} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["cel.cel"] = module
    spec.loader.exec_module(module)
    return module


class Expression:
    """A compiled expression over the variables ``self`` and ``oldSelf``."""

    __slots__ = ("_program", "functions", "source", "uses_old")

    def __init__(self, source: str, *, field: str = "rule") -> None:
        """Compile. Raises CelError for bad syntax, an unknown function or an unknown variable."""
        self.source = source
        try:
            self._program = _cel().compile(source)
        except (ValueError, RuntimeError) as error:
            message = " ".join(str(error).split("\n")[0].split())
            raise CelError(source, f"compilation failed: {message}", field) from None
        for function in self._program.functions():
            if not function.isidentifier() and "." not in function:
                continue  # operators are functions too: _&&_, _[_]
            if function not in _KNOWN:
                raise CelError(source, f"compilation failed: undeclared reference to {function!r}", field)
        used = set(self._program.functions())
        # a context costs 4 µs a function, and most rules use none of them
        self.functions = tuple(name for name in FUNCTIONS if name.rpartition(".")[2] in used)
        variables = set(self._program.variables()) - _TYPES - _bound(source)
        unknown = sorted(variables - {"self", "oldSelf"} - _NAMESPACES)
        if unknown:
            raise CelError(source, f"compilation failed: undeclared reference to {unknown[0]!r}", field)
        self.uses_old = "oldSelf" in variables

    def evaluate(self, scope: Scope, *, optional_old: bool = False) -> Any:
        """Evaluate. Raises CelRuntimeError with a sentence."""
        try:
            return self._program.execute(scope.context(self.uses_old, optional_old, self.functions))
        except KeyError as error:
            raise CelRuntimeError(f"no such key: {error.args[0]}") from None
        except (ValueError, RuntimeError, TypeError, ArithmeticError, IndexError, AttributeError) as error:
            raise CelRuntimeError(str(error)) from None


class Scope:
    """The values that the rules of one place see, converted to CEL once for all of them.

    Args:
        value: ``self``.
        old: ``oldSelf``; ``ABSENT`` where there is none.
    """

    __slots__ = ("_contexts", "old", "value")

    def __init__(self, value: Any, old: Any = ABSENT) -> None:
        self.value = value
        self.old = old
        self._contexts: dict[tuple[bool, bool, tuple[str, ...]], Any] = {}

    def context(self, with_old: bool, optional_old: bool, functions: tuple[str, ...]) -> Any:
        """Return the context for expressions that need these things."""
        key = (with_old, optional_old, functions)
        found = self._contexts.get(key)
        if found is None:
            variables = {"self": self.value}
            if with_old:
                variables["oldSelf"] = self._optional() if optional_old else self.old
            found = _cel().Context(variables, {name: FUNCTIONS[name] for name in functions})
            self._contexts[key] = found
        return found

    def _optional(self) -> Any:
        kind = _cel().OptionalValue
        return kind.none() if self.old is ABSENT else kind.of(self.old)


def _bound(source: str) -> set[str]:
    """Return the names that macros bind: the compiler reports them among the variables."""
    return set(_MACRO.findall(_STRING.sub("''", source)))
