# SPDX-License-Identifier: Apache-2.0
"""Person detector: MobileNetV2-SSDLite."""
