# SPDX-License-Identifier: Apache-2.0
"""write-detections on the CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from accelchain_runtime.engine.function import Array, Buffer, Event, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.functions.detections import name_of, names_of, valid
from accelchain_runtime.functions.files import writing
from accelchain_runtime.functions.ports import require_detections
from accelchain_runtime.functions.publication import Unfinished, open_sink


class WriteDetections:
    """A sink that writes a line of JSON a frame, also where nothing was detected."""

    deferred = True

    def __init__(self) -> None:
        self._output: Unfinished | None = None
        self._names: tuple[str, ...] = ()
        self._frames = 0
        self._detections = 0

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open an unfinished file beside the result.

        Returns:
            Nothing: a sink has no outputs.

        Raises:
            InputError: ``uri`` can't be written, or the input carries no detections.
        """
        require_detections(context)
        self._names = names_of(str(context.parameters.get("labels", "person")))
        self._output = open_sink(str(context.parameters["uri"]), context)
        return {}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Write one frame's line.

        Raises:
            WriteError: it can't be written.
        """
        assert self._output is not None
        rows = valid(inputs["detections"].array)
        with writing(self._output.name):
            self._output.file.write(_line(frame, rows, self._names).encode())
        self._frames += 1
        self._detections += len(rows)
        return None

    def finish(self) -> Mapping[str, Any]:
        """Make the whole file durable, not to be seen yet.

        Returns:
            ``frames`` and ``detections``: how many were written.

        Raises:
            WriteError: it can't be written.
        """
        assert self._output is not None
        self._output.complete()
        return {"frames": self._frames, "detections": self._detections}

    def publish(self) -> None:
        """Put the file in place.

        Raises:
            WriteError: it can't be put there.
        """
        assert self._output is not None
        self._output.publish()

    def close(self, *, discard: bool = False) -> None:
        """Forget the file, unless it is published."""
        if self._output is not None:
            self._output.discard()


def _line(frame: FrameInfo, rows: Array, names: Sequence[str]) -> str:
    detections = [
        {
            "box": [round(value, 1) for value in row[:4]],
            "score": round(row[4], 4),
            "label": name_of(names, int(row[5])),
        }
        for row in rows.tolist()
    ]
    document = {"frame": frame.number, "time": round(frame.time, 6), "detections": detections}
    return json.dumps(document, ensure_ascii=False) + "\n"
