# SPDX-License-Identifier: Apache-2.0
"""``python -m accelchain.kfp.step``: the process of a component that is one function, files in and files out."""
