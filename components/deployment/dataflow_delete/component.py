# SPDX-License-Identifier: Apache-2.0
"""Ends a DataFlow that streams."""

import os

from kfp import compiler, dsl

IMAGE = os.environ.get("ACCELCHAIN_LAUNCHER_IMAGE", "localhost/accelchain-launcher:dev")
"""The image of accelchain's launcher. The variable counts when the pipeline is compiled."""


@dsl.container_component
def dataflow_delete(
    name: str,
    dataflow: dsl.OutputPath(str),
    timeout: float = 120.0,
):
    """Delete a DataFlow, and return when nothing of it is left: no pod, no device that it holds.

    One that is not there is no error.

    Args:
        name: Of the DataFlow.
        timeout: Seconds within which it has to be gone.
        dataflow: Its name, for tasks that are to wait for it.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-m", "accelchain.kfp.launcher"],
        args=[
            "delete",
            "--executor-input",
            "{{$}}",
            "--compat",
            "kfp.dsl.executor_main",
            "--name",
            name,
            "--run-timeout",
            timeout,
        ],
    )


if __name__ == "__main__":
    compiler.Compiler().compile(dataflow_delete, __file__.replace(".py", "_component.yaml"))
