# SPDX-License-Identifier: Apache-2.0
"""What ``kubectl get`` prints: tables made of printer columns."""

from accelchain_operators.localkube.table.cells import cell_text

__all__ = ["cell_text"]
