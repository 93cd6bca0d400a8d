# SPDX-License-Identifier: Apache-2.0
"""Structural schemas (OpenAPI v3 as CustomResourceDefinitions write it): pruning, defaults, validation, CEL rules."""
