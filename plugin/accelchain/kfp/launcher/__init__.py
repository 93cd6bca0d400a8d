# SPDX-License-Identifier: Apache-2.0
"""Kubeflow Pipelines: components emit DataFlows, and chains of them become one task."""
