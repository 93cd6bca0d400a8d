# SPDX-License-Identifier: Apache-2.0
"""Devices: one file a device API. Nothing else imports pyopencl or pycuda."""
