# SPDX-License-Identifier: Apache-2.0
"""Ready-made components: interfaces, marks, and components of one's own functions."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from accelchain.kfp import AuthoringError, component_of, functions

ROOT = Path(__file__).parents[3]
OWN = ROOT / "pipelines" / "own-function" / "functions"


def stubs() -> dict[str, list[str]]:
    """What a type checker is told: names of arguments by component."""
    nodes = ast.walk(ast.parse(inspect.getsource(functions)))
    return {
        node.name: [argument.arg for argument in node.args.kwonlyargs]
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    }


@pytest.mark.parametrize("name", functions.__all__)
def test_what_a_type_checker_is_told_is_what_the_component_takes(name: str) -> None:
    component = getattr(functions, name)
    assert sorted(stubs()[name]) == sorted(component.component_spec.inputs)
    assert component.description


def test_all_are_there() -> None:
    assert sorted(stubs()) == sorted(functions.__all__)
    assert set(functions.__all__) <= set(dir(functions))


def test_the_interface_is_the_manifests(ir: Callable[[Any], Any]) -> None:
    @dsl.pipeline
    def main(uri: str):
        frames = functions.decode_video_uri(uri=uri).outputs["frames"]
        functions.filter_resize(frames=frames, width=300, height=300)

    definition = ir(main)[0]["components"]["comp-filter-resize"]
    frames = {"artifactType": {"schemaTitle": "system.Frames", "schemaVersion": "0.0.1"}}
    assert definition["inputDefinitions"] == {
        "artifacts": {"frames": frames},
        "parameters": {
            "width": {"parameterType": "NUMBER_INTEGER"},
            "height": {"parameterType": "NUMBER_INTEGER"},
            "filter": {"parameterType": "STRING", "defaultValue": "none", "isOptional": True},
        },
    }
    assert definition["outputDefinitions"] == {"artifacts": {"frames": frames}}


def test_addresses_are_artifacts_or_parameters() -> None:
    assert functions.decode_video.component_spec.inputs["video"].type == "system.Artifact@0.0.1"
    assert functions.decode_video_uri.component_spec.inputs["uri"].type == "String"
    assert functions.encode_video.component_spec.outputs["video"].type == "system.Artifact@0.0.1"


def test_a_function_of_ones_own(ir: Callable[[Any], Any]) -> None:
    invert = component_of("invert", [OWN], image="registry/own:1", name="negative", names={"frames": "pictures"})

    @dsl.pipeline
    def main(uri: str):
        decode = functions.decode_video_uri(uri=uri)
        invert(pictures=decode.outputs["frames"])

    pipeline, marks = ir(main)
    assert marks["negative"]["function"] == "invert"
    assert marks["negative"]["inputs"] == {"frames": "pictures"}
    container = pipeline["deploymentSpec"]["executors"]["exec-negative"]["container"]
    assert (container["image"], container["command"][-1]) == ("registry/own:1", "invert")


@pytest.mark.parametrize("path", [OWN / "invert", OWN / "invert" / "functiontype.yaml"])
def test_a_function_by_its_path(path: Path) -> None:
    assert component_of(path).name == "invert"


def test_functions_that_can_not_be_components() -> None:
    with pytest.raises(AuthoringError, match="there is no function 'invert' here; there are copy"):
        component_of("invert")
    with pytest.raises(AuthoringError, match=r"there is no function 'copy@9\.0\.0' here"):
        component_of("copy@9.0.0")
    with pytest.raises(AuthoringError, match="function 'copy' has no parameter 'x' that could have a default"):
        component_of("copy", defaults={"x": 3})
    with pytest.raises(AuthoringError, match=r"has no port or parameter .frame.: did you mean .frames."):
        component_of("copy", names={"frame": "pictures"})
    with pytest.raises(AuthoringError, match=r"the function can't be read: .*nowhere"):
        component_of(OWN / "nowhere" / "functiontype.yaml")
    with pytest.raises(AuthoringError, match=r"two outputs would be called 'frames'.*names="):
        component_of("copy", results={"frames": "frames"})


def test_a_manifest_that_is_at_hand() -> None:
    manifest = {
        "kind": "FunctionType",
        "metadata": {"name": "blur-faces"},
        "spec": {
            "function": "blur",
            "inputs": [{"name": "frames", "type": "frames"}, {"name": "mask-port", "optional": True}],
            "outputs": [{"name": "sum", "type": "tensor"}],
            "parameters": [
                {"name": "on", "type": "boolean", "default": True},
                {"name": "x", "type": "number"},
                {"name": "n", "type": "integer"},
            ],
        },
    }
    component = component_of(manifest)
    inputs = component.component_spec.inputs
    assert {name: (spec.type, spec.optional) for name, spec in inputs.items()} == {
        "frames": ("system.Frames@0.0.1", False),
        "mask_port": ("system.Artifact@0.0.1", True),
        "on": ("Boolean", True),
        "x": ("Float", True),
    }
    assert (component.name, component.component_spec.outputs["sum"].type) == ("blur", "system.Artifact@0.0.1")
