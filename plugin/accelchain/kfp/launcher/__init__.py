# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain.kfp.launcher``: the process of a task that makes a DataFlow and waits for its end."""
