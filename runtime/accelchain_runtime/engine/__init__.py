# SPDX-License-Identifier: Apache-2.0
"""Plan, frame, slot and the one scheduling loop."""
