# SPDX-License-Identifier: Apache-2.0
"""save-…: a sink that keeps what a port carries in a frames file at an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accelchain_runtime.engine.function import SetupContext, TensorSpec
from accelchain_runtime.functions.file_ends import FileSink
from accelchain_runtime.functions.publication import open_sink


class Save(FileSink):
    """A sink whose file lies at ``uri``. A subclass says what it takes."""

    kind = ""
    """The port's type."""
    require: Callable[[SetupContext], object]
    """Raises ``InputError`` where the port carries something else."""

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open an unfinished file beside the result.

        Returns:
            Nothing: a sink has no outputs.

        Raises:
            InputError: ``uri`` can't be written, or the input carries something else.
        """
        self.require(context)
        self.begin(open_sink(str(context.parameters["uri"]), context), self.kind, context)
        return {}
