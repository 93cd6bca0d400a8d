# SPDX-License-Identifier: Apache-2.0
"""A small kubelet: the worker pods of one node become local processes, the coldest of them out of a warm pool.

It speaks to the API as a real kubelet does and no other way, so operators cannot tell a laptop from a cluster.
What a laptop does not enforce, because the worker runs as the user: resource requests and limits, the security
context, probes. What it cannot do at all (other images, several containers, volumes of a cluster) it refuses by name
(``podspec.py``).
"""

from accelchain_operators.localkube.kubelet.kubelet import Kubelet
from accelchain_operators.localkube.kubelet.pool import WorkerFailed

__all__ = ["Kubelet", "WorkerFailed"]
