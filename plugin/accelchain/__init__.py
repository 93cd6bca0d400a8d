# SPDX-License-Identifier: Apache-2.0
"""accelchain: workflow steps emit DataFlow resources, and accelerator functions are chained device to device."""
