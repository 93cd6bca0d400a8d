# SPDX-License-Identifier: Apache-2.0
"""Starts a DataFlow that streams."""

import os
from typing import Optional

from kfp import compiler, dsl

IMAGE = os.environ.get("ACCELCHAIN_LAUNCHER_IMAGE", "localhost/accelchain-launcher:dev")
"""The image of accelchain's launcher. The variable counts when the pipeline is compiled."""


@dsl.container_component
def dataflow_deploy(
    name: str,
    dataflow: dsl.OutputPath(str),
    namespace: dsl.OutputPath(str),
    endpoint: dsl.OutputPath(str),
    manifest: Optional[dict] = None,
    chain: Optional[str] = None,
    parameters: Optional[dict] = None,
    inputs: Optional[dict] = None,
    outputs: Optional[dict] = None,
    ready_timeout: float = 900.0,
):
    """Start a DataFlow of mode Stream, and return when it runs. It outlives the run.

    Neither the run's end nor that of its Workflow ends it: ``dataflow_delete`` does, or ``kubectl delete dataflow``.
    One that does not run in time is deleted again. A second deployment of the same name goes on with the first one's
    DataFlow while that runs. Give ``manifest`` or ``chain``.

    Args:
        name: Of the DataFlow.
        manifest: A DataFlow, or its spec; ``mode: Stream`` is assumed.
        chain: Name of a FunctionChain of the namespace, in place of a manifest.
        parameters: Values for the chain's parameters, by name.
        inputs: Addresses of the chain's inputs, by name, such as ``{"camera": "rtsp://camera/stream"}``.
        outputs: Addresses of the chain's outputs, by name.
        ready_timeout: Seconds within which it has to be running.
        dataflow: Name of the DataFlow.
        namespace: Where it is.
        endpoint: Address of its live view inside the cluster; empty where it has none.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-m", "accelchain.kfp.launcher"],
        args=[
            "deploy",
            "--executor-input",
            "{{$}}",
            "--compat",
            "kfp.dsl.executor_main",
            "--name",
            name,
            "--ready-timeout",
            ready_timeout,
            dsl.IfPresentPlaceholder(input_name="manifest", then=["--manifest", manifest]),
            dsl.IfPresentPlaceholder(input_name="chain", then=["--chain", chain]),
            dsl.IfPresentPlaceholder(input_name="parameters", then=["--parameters", parameters]),
            dsl.IfPresentPlaceholder(input_name="inputs", then=["--inputs", inputs]),
            dsl.IfPresentPlaceholder(input_name="outputs", then=["--outputs", outputs]),
        ],
    )


if __name__ == "__main__":
    compiler.Compiler().compile(dataflow_deploy, __file__.replace(".py", "_component.yaml"))
