# SPDX-License-Identifier: Apache-2.0
"""Which kinds there are: the built-in ones, and those that CustomResourceDefinitions add while the server runs."""
