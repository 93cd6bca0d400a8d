# SPDX-License-Identifier: Apache-2.0
"""Components of Kubeflow Pipelines, laid out as kubeflow/pipelines-components has them."""
