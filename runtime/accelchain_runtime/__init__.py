# SPDX-License-Identifier: Apache-2.0
"""The data plane: a plan (JSON) becomes a worker process that runs a chain of accelerator functions."""
