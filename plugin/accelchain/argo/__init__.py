# SPDX-License-Identifier: Apache-2.0
"""Argo Workflows: steps that make DataFlows. One pure handler (core), several fronts."""
