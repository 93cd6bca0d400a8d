# SPDX-License-Identifier: Apache-2.0
"""Kubeflow Pipelines' backend, emulated on one machine for contract tests.

What it does follows kubeflow/pipelines at tag 2.17.0; comments name the place, as ``driver/resolve.go:resolveInputs``,
relative to ``backend/src/v2``. What is left out: ``platforms.kubernetes``, TaskConfig, workspaces, modelcars, ML
Metadata's session infos, pauses between retries. A pipeline root may be a folder, which the real backend refuses:
nothing is uploaded then.
"""
