# SPDX-License-Identifier: Apache-2.0
"""The component dataflow_run."""

from components.data_processing.dataflow_run.component import dataflow_run

__all__ = ["dataflow_run"]
