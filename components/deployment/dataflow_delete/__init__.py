# SPDX-License-Identifier: Apache-2.0
"""The component dataflow_delete."""

from components.deployment.dataflow_delete.component import dataflow_delete

__all__ = ["dataflow_delete"]
