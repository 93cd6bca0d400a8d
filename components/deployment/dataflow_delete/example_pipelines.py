# SPDX-License-Identifier: Apache-2.0
"""How dataflow_delete is used."""

from kfp import dsl

from components.deployment.dataflow_delete import dataflow_delete


@dsl.pipeline(name="camera-off")
def off(name: str):
    """End what looks at a camera.

    Args:
        name: Of the DataFlow.
    """
    dataflow_delete(name=name)
