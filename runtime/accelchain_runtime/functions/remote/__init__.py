# SPDX-License-Identifier: Apache-2.0
"""Sources and sinks that functions open: files within volumes, http(s), s3 and rtsp(s), under the plan's ``Reach``."""
