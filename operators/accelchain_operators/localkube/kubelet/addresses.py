# SPDX-License-Identifier: Apache-2.0
"""Loopback addresses for pods, unique on the machine."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket

NETWORK = ipaddress.IPv4Network("127.64.0.0/10")
LOCK_PORT = 10250
"""UDP port (the number of the kubelet's own TCP port) whose binding marks an address as taken."""
ATTEMPTS = 64


class PodAddress:
    """A loopback address, taken until ``release`` or the end of this process.

    The mark is a bound UDP socket: the system itself keeps addresses apart between several kubelets of one machine,
    and gives them back when a kubelet is killed.
    """

    def __init__(self) -> None:
        """Take a free address.

        Raises:
            OSError: no free address was found.
        """
        generator = random.SystemRandom()
        for _ in range(ATTEMPTS):
            address = str(NETWORK[generator.randrange(1, NETWORK.num_addresses - 1)])
            lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                lock.bind((address, LOCK_PORT))
            except OSError as error:
                lock.close()
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                self._lock = lock
                self.ip = address
                return
        raise OSError(
            errno.EADDRINUSE, f"no free loopback address in {NETWORK}: does a program hold UDP port {LOCK_PORT}?"
        )

    def release(self) -> None:
        """Give the address back. Harmless a second time."""
        self._lock.close()
