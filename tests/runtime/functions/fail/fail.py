# SPDX-License-Identifier: Apache-2.0
"""Fails, or hangs, where it is told to."""

from __future__ import annotations

import threading

from accelchain_runtime.engine.function import InputError


class Fail:
    def setup(self, context):
        self.where, self.kind = context.parameters["where"], context.parameters["kind"]
        self._maybe("setup")
        return {"frames": context.inputs["frames"]}

    def _maybe(self, where):
        if self.where == where:
            raise InputError("it is bad", parameter="where") if self.kind == "input" else ValueError("broken")

    def enqueue(self, frame, inputs, outputs, queue, wait_for):
        if frame.number == 2:
            self._maybe("enqueue")
            if self.where == "hang":
                threading.Event().wait()
        outputs["frames"].array[:] = inputs["frames"].array

    def finish(self):
        self._maybe("finish")
        return {}

    def close(self, *, discard=False):
        pass
