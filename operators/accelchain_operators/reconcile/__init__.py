# SPDX-License-Identifier: Apache-2.0
"""Pure reconcilers: snapshots in, actions out."""
