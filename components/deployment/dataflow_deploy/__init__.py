# SPDX-License-Identifier: Apache-2.0
"""The component dataflow_deploy."""

from components.deployment.dataflow_deploy.component import dataflow_deploy

__all__ = ["dataflow_deploy"]
