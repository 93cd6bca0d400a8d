# SPDX-License-Identifier: Apache-2.0
"""How dataflow_deploy is used."""

from kfp import dsl

from components.deployment.dataflow_deploy import dataflow_deploy


@dsl.pipeline(name="live-camera")
def live(name: str, chain: str, inputs: dict) -> str:
    """Have a chain look at a camera, until somebody deletes it.

    Args:
        name: Of the DataFlow.
        chain: A FunctionChain that is in the namespace.
        inputs: ``{"camera": address}``.

    Returns:
        Where its pictures are seen.
    """
    return dataflow_deploy(name=name, chain=chain, inputs=inputs).outputs["endpoint"]
