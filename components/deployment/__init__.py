# SPDX-License-Identifier: Apache-2.0
"""Components that start and end what outlives a run."""
