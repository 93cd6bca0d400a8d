# SPDX-License-Identifier: Apache-2.0
"""Components that process data."""
