# SPDX-License-Identifier: Apache-2.0
"""What pipeline authors write. Its public names are those of ``accelchain.kfp``."""
