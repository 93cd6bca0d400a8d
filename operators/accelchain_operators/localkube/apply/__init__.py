# SPDX-License-Identifier: Apache-2.0
"""How a request changes an object: JSON patch, merge patch, strategic merge, server-side apply. Pure."""
