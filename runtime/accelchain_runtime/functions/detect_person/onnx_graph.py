# SPDX-License-Identifier: Apache-2.0
"""Reads the detector's ONNX graph into the list of convolutions that the kernels work on.

Only this module imports ``onnx``; it runs once a model, because ``weights.py`` keeps what it returns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from accelchain_runtime.functions.detect_person.model import INPUT_SIZE, UNBOUNDED, Layer, Network, Shape

_SHAPE_ONLY = ("Reshape", "Transpose", "Squeeze")
_PICTURE_CHANNELS = 3


def fold(model: bytes) -> Network:
    """Fold BatchNorm, ReLU6 and residual additions of an ONNX graph into its convolutions.

    Args:
        model: the ONNX file; one input float32 [1, 3, 300, 300], weights float32 or float16 with a Cast.

    Raises:
        ValueError: the graph holds an operation that the kernels don't know.
    """
    return _Folder(onnx.load_from_string(model).graph).network()


class _Folder:
    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._constants: dict[str, NDArray[Any]] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self._users: dict[str, list[Any]] = {}
        for node in graph.node:
            if node.op_type == "Cast":
                self._constants[node.output[0]] = self._constants[node.input[0]].astype(np.float32)
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._made: dict[str, tuple[int | None, int, int]] = {
            graph.input[0].name: (None, INPUT_SIZE, _PICTURE_CHANNELS)
        }
        """Tensor -> index of the layer that makes it, edge length, channels."""
        self._concats: dict[str, dict[int, int]] = {}
        """Concat's tensor -> position within it -> index of the layer."""

    def network(self) -> Network:
        layers = [
            self._layer(index, node)
            for index, node in enumerate(node for node in self._graph.node if node.op_type == "Conv")
        ]
        shapes = []
        for number, output in enumerate(self._graph.output):
            parts = self._concats[self._behind_squeeze(output.name)]
            offset = 0
            for _, index in sorted(parts.items()):
                shape = layers[index].shape
                layers[index] = replace(layers[index], shape=replace(shape, head=number, offset=offset))
                offset += shape.out_size**2 * shape.outputs
            shapes.append(tuple(d.dim_value for d in output.type.tensor_type.shape.dim)[1:])
        return Network(layers, shapes)

    def _layer(self, index: int, node: Any) -> Layer:
        """The convolution ``node`` with every operation that belongs to it."""
        attributes = _attributes(node)
        weight = self._constants[node.input[1]]
        bias = self._constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        source, size, inputs = self._made[node.input[0]]
        stride, pads = int(attributes["strides"][0]), attributes.get("pads", [0, 0, 0, 0])
        out_size = (size + pads[0] + pads[2] - weight.shape[2]) // stride + 1
        low, high, residual, name = -UNBOUNDED, UNBOUNDED, None, node.output[0]
        while len(users := self._users.get(name, [])) == 1:
            (user,) = users
            if user.op_type == "BatchNormalization":
                gamma, beta, mean, variance = (self._constants[i] for i in user.input[1:5])
                factor = gamma / np.sqrt(variance + _attributes(user)["epsilon"])
                weight, bias = weight * factor[:, None, None, None], (bias - mean) * factor + beta
            elif user.op_type == "Clip":
                low, high = (float(self._constants[i]) for i in user.input[1:3])
            elif user.op_type == "Add":
                (other,) = (i for i in user.input if i != name)
                residual = self._made[other][0]
            elif user.op_type == "Concat":
                self._concats.setdefault(user.output[0], {})[list(user.input).index(name)] = index
                break
            elif user.op_type == "Conv":
                break
            elif user.op_type not in _SHAPE_ONLY:
                raise ValueError(f"The detector's graph holds {user.op_type} behind {node.name}, which no kernel does.")
            name = user.output[0]
        self._made[name] = (index, out_size, len(weight))
        shape = Shape(
            index=index,
            kind=_kind(weight, int(attributes.get("group", 1)), inputs),
            source=source,
            size=size,
            inputs=inputs,
            out_size=out_size,
            outputs=len(weight),
            stride=stride,
            pad=int(pads[0]),
            low=low,
            high=high,
            residual=residual,
        )
        flat = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
        return Layer(shape, np.ascontiguousarray(flat, np.float32), np.ascontiguousarray(bias, np.float32))

    def _behind_squeeze(self, name: str) -> str:
        """The Concat that makes the graph's output ``name``."""
        squeezed = {node.output[0]: node.input[0] for node in self._graph.node if node.op_type == "Squeeze"}
        return cast(str, squeezed.get(name, name))


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _kind(weight: NDArray[Any], group: int, inputs: int) -> Literal["pointwise", "depthwise", "stem"]:
    outputs, _, height, width = weight.shape
    if (height, width) == (1, 1) and group == 1:
        return "pointwise"
    if (height, width) == (3, 3) and group == outputs == inputs:
        return "depthwise"
    if (height, width) == (3, 3) and group == 1 and inputs == _PICTURE_CHANNELS:
        return "stem"
    raise ValueError(
        f"The detector's graph holds a {height}x{width} convolution in {group} groups, which no kernel does."
    )
