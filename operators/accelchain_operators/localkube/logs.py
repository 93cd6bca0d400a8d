# SPDX-License-Identifier: Apache-2.0
"""Where a pod's log comes from: a kubelet registers its reader for its node (``Kubelet.logs`` is one)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class LogSource(Protocol):
    """Reads the logs of the pods of one node."""

    def __call__(
        self, namespace: str, pod: str, container: str = "", follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield chunks of the log, whole lines or not; with ``follow`` until the container has ended.

        Raises ``StatusError`` or ``kube.client.ApiError`` before the first chunk where there is no log. The reader may
        go away at any time: the iterator is then closed.
        """
