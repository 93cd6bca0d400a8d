# SPDX-License-Identifier: Apache-2.0
"""Links: one file a mechanism. ``MECHANISMS`` is the list; ``choose.py`` takes the fastest that works."""

from __future__ import annotations

from collections.abc import Mapping

from accelchain_runtime.links import host_copy, peer_copy, same_buffer, shared_host
from accelchain_runtime.links.base import Connect

MECHANISMS: Mapping[str, Connect] = {
    "same-buffer": same_buffer.connect,
    "shared-host": shared_host.connect,
    "peer-copy": peer_copy.connect,
    "host-copy": host_copy.connect,
}
