# SPDX-License-Identifier: Apache-2.0
"""Runs a DataFlow to its end."""

import json
import os
from typing import Optional

from kfp import compiler, dsl

IMAGE = os.environ.get("ACCELCHAIN_LAUNCHER_IMAGE", "localhost/accelchain-launcher:dev")
"""The image of accelchain's launcher. The variable counts when the pipeline is compiled."""
_MAP = {
    "results": {"frames_per_second": "framesPerSecond"},
    "pages": {"metrics": "metrics", "report": "report", "summary": "summary"},
}


@dsl.container_component
def dataflow_run(
    dataflow: dsl.OutputPath(str),
    namespace: dsl.OutputPath(str),
    frames: dsl.OutputPath(int),
    seconds: dsl.OutputPath(float),
    frames_per_second: dsl.OutputPath(float),
    results: dsl.OutputPath(dict),
    status: dsl.OutputPath(dict),
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    manifest: Optional[dict] = None,
    chain: Optional[str] = None,
    parameters: Optional[dict] = None,
    inputs: Optional[dict] = None,
    outputs: Optional[dict] = None,
    ready_timeout: float = 0.0,
    run_timeout: float = 0.0,
):
    """Run a DataFlow: a chain of accelerator functions, without a pod for each.

    The DataFlow belongs to the run: it is adopted when the pod is tried again, and ended when the run is terminated.
    Its stages, devices and logs are in the log of the step. Give ``manifest`` or ``chain``.

    Args:
        manifest: A DataFlow, or its spec. Numbers that are whole are taken for integers.
        chain: Name of a FunctionChain of the namespace, in place of a manifest.
        parameters: Values for the chain's parameters, by name.
        inputs: Addresses of the chain's inputs, by name, such as ``{"video": "s3://bucket/a.mp4"}``.
        outputs: Addresses of the chain's outputs, by name.
        ready_timeout: Seconds within which the DataFlow has to be running; 0 is as long as it takes.
        run_timeout: Seconds within which it has to end; 0 is as long as it takes.
        dataflow: Name of the DataFlow.
        namespace: Where it is.
        frames: Frames that went through all of it.
        seconds: For how long it worked.
        frames_per_second: Over the whole run.
        results: What its sinks told, by ``function.name``.
        status: The status of the DataFlow: conditions, placement, edges.
        metrics: Frames, seconds, frames a second and microseconds a frame of each function.
        report: A page: placement, throughput, frames with boxes.
        summary: Placement, edges and the DataFlow itself as Markdown.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-m", "accelchain.kfp.launcher"],
        args=[
            "run",
            "--executor-input",
            "{{$}}",
            "--compat",
            "kfp.dsl.executor_main",
            "--map",
            json.dumps(_MAP),
            "--ready-timeout",
            ready_timeout,
            "--run-timeout",
            run_timeout,
            dsl.IfPresentPlaceholder(input_name="manifest", then=["--manifest", manifest]),
            dsl.IfPresentPlaceholder(input_name="chain", then=["--chain", chain]),
            dsl.IfPresentPlaceholder(input_name="parameters", then=["--parameters", parameters]),
            dsl.IfPresentPlaceholder(input_name="inputs", then=["--inputs", inputs]),
            dsl.IfPresentPlaceholder(input_name="outputs", then=["--outputs", outputs]),
        ],
    )


if __name__ == "__main__":
    compiler.Compiler().compile(dataflow_run, __file__.replace(".py", "_component.yaml"))
