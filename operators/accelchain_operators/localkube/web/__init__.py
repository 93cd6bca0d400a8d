# SPDX-License-Identifier: Apache-2.0
"""The wire: requests, watches, logs and discovery over aiohttp."""
