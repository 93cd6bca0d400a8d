# SPDX-License-Identifier: Apache-2.0
"""The component video_person_detection."""

from components.data_processing.video_person_detection.component import video_person_detection

__all__ = ["video_person_detection"]
