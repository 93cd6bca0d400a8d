# SPDX-License-Identifier: Apache-2.0
"""encode-video on the CPU: a file by x264, or MJPEG served by this process; in both cases a live view."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from accelchain_runtime.engine.function import Buffer, Event, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.functions.addresses import parse
from accelchain_runtime.functions.ports import require_pictures
from accelchain_runtime.functions.publication import SINKS, open_sink

from .browser import BrowserServer
from .live import LiveView
from .video_file import VideoFile, container_of

_LIVE = "http"
"""The scheme of addresses that are served, not written to."""

_log = logging.getLogger(__name__)


class EncodeVideo:
    """A sink for pictures."""

    def __init__(self) -> None:
        self._view = LiveView()
        self._file: VideoFile | None = None
        self._server: BrowserServer | None = None
        self._frames = 0
        self._endless = False
        self.deferred = False

    def setup(self, context: SetupContext) -> Mapping[str, TensorSpec]:
        """Open an unfinished file beside the result, or bind the address to serve at; offer the live view.

        Returns:
            Nothing: a sink has no outputs.

        Raises:
            InputError: ``uri`` can't be written or served at, or the input carries no pictures.
        """
        size = require_pictures(context)
        self._endless = context.mode == "Stream"
        parameters = context.parameters
        uri = str(parameters["uri"])
        address = parse(uri, tuple(dict.fromkeys((*SINKS, _LIVE))))
        if address.scheme == _LIVE:
            self._server = BrowserServer(address, self._view)
            self._server.start()
            _log.info("%s: live video at http://%s:%d%s", context.name, address.host, self._server.port, address.route)
        else:
            container = container_of(address)
            self._file = VideoFile(
                open_sink(uri, context),
                container,
                size,
                context.source_rate,
                int(parameters.get("quality", 23)),
                str(parameters.get("preset", "veryfast")),
                int(parameters.get("threads", 1)),
            )
            self.deferred = True
        if context.live is not None:
            context.live(context.name, self._view)
        return {}

    def enqueue(
        self,
        frame: FrameInfo,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer],
        queue: Any,
        wait_for: Sequence[Event],
    ) -> Event | None:
        """Encode one picture, and show it to whoever is looking.

        Raises:
            WriteError: the file can't be written.
        """
        picture = inputs["frames"].array
        self._view.publish(picture)
        if self._file is not None:
            self._file.add(picture, frame.time)
        self._frames += 1
        return None

    def finish(self) -> Mapping[str, Any]:
        """Make the whole file durable, not to be seen yet.

        Returns:
            ``frames``, and of a file ``bytes``.

        Raises:
            WriteError: the file can't be written.
        """
        results = {"frames": self._frames}
        if self._file is not None and self._endless and not self._frames:
            self._file.discard()  # stopped before the first picture, or gone on with at the very end: no file is right
            self._file = None
        if self._file is not None:
            results["bytes"] = self._file.complete()
        return results

    def publish(self) -> None:
        """Put the file in place.

        Raises:
            WriteError: it can't be put there.
        """
        if self._file is not None:
            self._file.publish()

    def close(self, *, discard: bool = False) -> None:
        """Let viewers go, stop serving, forget the file unless it is published."""
        self._view.end()
        if self._server is not None:
            self._server.stop()
        if self._file is not None:
            self._file.discard()
