# SPDX-License-Identifier: Apache-2.0
"""How dataflow_run is used."""

from kfp import dsl

from components.data_processing.dataflow_run import dataflow_run

SHRINK = {
    "chain": {
        "inputs": [{"name": "video"}],
        "outputs": [{"name": "small"}],
        "functions": [
            {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)", "frames": 20}},
            {"name": "resize", "type": "filter-resize", "parameters": {"width": 64, "height": 48}},
            {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.small.uri)"}},
        ],
        "connections": [
            {"from": "decode.frames", "to": "resize.frames"},
            {"from": "resize.frames", "to": "encode.frames"},
        ],
    },
}


@dsl.pipeline(name="shrink-a-video")
def shrink(inputs: dict, outputs: dict) -> int:
    """Shrink a video.

    Args:
        inputs: ``{"video": address}``.
        outputs: ``{"small": address}``.

    Returns:
        How many frames the small one has.
    """
    return dataflow_run(manifest=SHRINK, inputs=inputs, outputs=outputs).outputs["frames"]
