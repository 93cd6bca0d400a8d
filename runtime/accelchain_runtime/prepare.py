# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain_runtime.prepare``: compile kernels and fold weights into the cache, and end.

Nobody else needs to hold a compiler in memory. A function's class takes part with a classmethod
``prepare(device, folder, cache)``; a kernel without Python is built.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelchain_runtime import registry
from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.devices.pool import AnyDevice, DeviceError, DevicePool, cache_folder
from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.loader import load_class
from accelchain_runtime.links.base import is_accelerator
from accelchain_runtime.registry import FunctionFolder

log = logging.getLogger("prepare")


class Preparation:
    """One implementation on one device, and the mark in the cache that it was prepared."""

    def __init__(
        self, function: FunctionFolder, implementation: dict[str, Any], device: AnyDevice, cache: Path
    ) -> None:
        self.function = function
        self._implementation = implementation
        self._device = device
        self._cache = cache
        what = hashlib.sha256(f"{implementation['name']}\0{_identity(device)}".encode())
        for file in sorted(function.folder.iterdir()):
            if file.is_file():
                what.update(f"\0{file.name}\0".encode() + file.read_bytes())
        self._mark = cache / "prepared" / what.hexdigest()[:32]

    @property
    def done(self) -> bool:
        """Whether the cache holds what this makes, for exactly these files and this driver."""
        return self._mark.exists()

    def run(self) -> None:
        """Prepare; quick where the cache has everything.

        Raises:
            InputError: the code or the kernel of the function is broken.
        """
        folder = self.function.folder
        kernel = self._implementation.get("kernel")
        if kernel:
            assert is_accelerator(self._device)
            self._device.build((folder / kernel["file"]).read_text(encoding="utf-8"), (), self._cache)
        else:
            prepare = getattr(load_class(self.function, self._implementation), "prepare", None)
            if prepare is not None:
                prepare(self._device, folder, self._cache)
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.touch()

    def __str__(self) -> str:
        return f"{self.function.name} ({self._implementation['name']} on {self._device.name})"


def preparations(functions: Sequence[FunctionFolder], pool: DevicePool, cache: Path) -> Iterator[Preparation]:
    """Yield every implementation on every device of this machine that it may run on."""
    devices: list[AnyDevice] = [HostDevice(), *pool.open_all()]
    for function in functions:
        for implementation in function.spec["implementations"]:
            for device in devices:
                if implementation["api"] == device.api and device.type in implementation.get("deviceTypes", ["cpu"]):
                    yield Preparation(function, implementation, device, cache)


def _identity(device: AnyDevice) -> str:
    return f"{device.name}\0{device.driver}" if is_accelerator(device) else device.name


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare all functions, or the named ones; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m accelchain_runtime.prepare", description=__doc__)
    parser.add_argument("--function", action="append", default=[], metavar="NAME", help="only this function")
    names = parser.parse_args(argv).function
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    cache = cache_folder()
    try:
        functions = registry.find()
        unknown = set(names) - {function.name for function in functions}
        if unknown:
            raise InputError(f"There is no function {', '.join(sorted(unknown))}.")
        chosen = [function for function in functions if not names or function.name in names]
        for preparation in preparations(chosen, DevicePool(cache), cache):
            if not preparation.done:
                preparation.run()
                log.info("%s is ready", preparation)
    except (InputError, registry.ManifestError) as error:
        log.error("%s", error)
        return 2
    except DeviceError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
