# SPDX-License-Identifier: Apache-2.0
"""detect-person in onnxruntime, on the host: the same network, and the oracle of our own kernels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accelchain_runtime.engine.function import Array, Buffer, Event, FrameInfo, InputError, SetupContext, TensorSpec
from accelchain_runtime.functions.detect_person.decode import anchors, decode
from accelchain_runtime.functions.detect_person.model import INPUT_SIZE
from accelchain_runtime.functions.detect_person.ports import DETECTIONS, Settings
from accelchain_runtime.functions.detect_person.weights import MODEL


class DetectPersonOnnxruntime:
    """Finds people in uint8 RGB pictures of 300 x 300 pixels."""

    def __init__(self) -> None:
        self._session: Any = None
        self._settings = Settings()
        self._anchors = anchors()
        self._input = np.empty((1, 3, INPUT_SIZE, INPUT_SIZE), np.float32)

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open the model, with a thread for each core that the process may use.

        Returns:
            ``detections``: float32 [100, 6].

        Raises:
            InputError: ``frames`` isn't uint8 [300, 300, 3], a parameter is outside 0..1, or onnxruntime is
                not installed.
        """
        self._settings = Settings.of(context)
        try:
            import onnxruntime  # heavy, so only where it is used
        except ImportError as error:
            raise InputError(
                f"{context.name}: implementation onnxruntime needs the package onnxruntime ({error}); "
                "install it, or choose implementation opencl."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        # A thread that spins between two frames would take its core from the other functions of the chain.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            (context.folder / MODEL).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        return {"detections": DETECTIONS}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Find the people of one frame."""
        boxes, classes = self.raw_outputs(inputs["frames"].array)
        outputs["detections"].array[:] = decode(
            boxes, classes, self._anchors, self._settings.threshold, self._settings.iou, frame.source_size
        )
        return None

    def raw_outputs(self, picture: Array) -> tuple[Array, Array]:
        """The network's outputs for a uint8 [300, 300, 3] picture.

        Returns:
            Boxes float32 [1917, 4] and classes float32 [1917, 2].
        """
        np.divide(picture.transpose(2, 0, 1), np.float32(127.5), out=self._input[0])
        self._input -= 1
        boxes, classes = self._session.run(None, {self._session.get_inputs()[0].name: self._input})
        return boxes[0], classes[0]

    def finish(self) -> Mapping[str, Any]:
        """Nothing to make durable."""
        return {}

    def close(self, *, discard: bool = False) -> None:
        """Close the model."""
        self._session = None
