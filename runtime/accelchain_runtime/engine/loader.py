# SPDX-License-Identifier: Apache-2.0
"""Loads the Python or the kernel behind an implementation of a manifest."""

from __future__ import annotations

import hashlib
import importlib
import sys
from types import ModuleType
from typing import Any

from accelchain_runtime.engine.function import Function, InputError
from accelchain_runtime.engine.kernel_function import KernelFunction
from accelchain_runtime.registry import FunctionFolder


def load_class(function: FunctionFolder, implementation: dict[str, Any]) -> type[Any]:
    """Return the class that the implementation's entrypoint names.

    The file is imported as part of a package that is the function's folder, so that ``from .tables import …`` finds
    the file beside it, wherever the folder lies.

    Raises:
        InputError: there is no such file or class, or the file can't be imported.
    """
    file, class_name = implementation["entrypoint"].split(":")
    where = f"{function.name}: entrypoint {implementation['entrypoint']} in {function.folder}"
    if not (function.folder / f"{file}.py").is_file():
        raise InputError(f"{where}: there is no file {file}.py.")
    try:
        module = importlib.import_module(f"{_package(function)}.{file}")
    except Exception as error:  # whatever a user's module raises while it is imported
        raise InputError(f"{where} can't be imported: {type(error).__name__}: {error}.") from error
    loaded = getattr(module, class_name, None)
    if not isinstance(loaded, type):
        raise InputError(f"{where}: the file has no class {class_name}.")
    return loaded


def new_function(function: FunctionFolder, implementation: dict[str, Any]) -> Function:
    """Return a fresh object of the implementation.

    Raises:
        InputError: see ``load_class``.
    """
    if implementation.get("kernel"):
        return KernelFunction(function, implementation["kernel"])
    instance: Function = load_class(function, implementation)()
    return instance


def _package(function: FunctionFolder) -> str:
    """Return the name of the package that the folder is, made up for folders outside any package."""
    if function.package is not None:
        return function.package
    digest = hashlib.sha256(str(function.folder.resolve()).encode()).hexdigest()[:12]
    name = f"_accelchain_function_{digest}"
    if name not in sys.modules:
        package = ModuleType(name, f"The function folder {function.folder}")
        package.__path__ = [str(function.folder)]
        sys.modules[name] = package
    return name
