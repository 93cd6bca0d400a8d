# SPDX-License-Identifier: Apache-2.0
"""One function as a process of its own: what comes in and what goes out are files."""
