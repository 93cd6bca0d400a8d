# SPDX-License-Identifier: Apache-2.0
"""The detector's model file, and its folded weights in the cache.

Folding needs ``onnx`` and some 40 MB of memory; with a warm cache neither is spent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from accelchain_runtime.functions.detect_person.model import Layer, Network, Shape

log = logging.getLogger(__name__)

MODEL = "pedssd_fp16w.onnx"
_FORMAT = 1
"""Raised whenever what ``fold`` returns, or how it is written, changes."""


def load(folder: Path, cache: Path | None) -> Network:
    """Return the folded network: from ``cache``, or else from the model in ``folder``, and then kept in ``cache``.

    A cache that can't be written costs the next start some time and memory, so it is a warning, not an error.

    Raises:
        OSError: the model can't be read.
    """
    model = (folder / MODEL).read_bytes()
    path = cache and cache / f"detect-person-{_FORMAT}-{hashlib.sha256(model).hexdigest()[:16]}.npz"
    if path and path.exists():
        return _read(path)

    from accelchain_runtime.functions.detect_person.onnx_graph import fold

    network = fold(model)
    if path:
        try:
            _write(path, network)
        except OSError as error:
            log.warning("the folded weights were not cached in %s: %s", path.parent, error)
    return network


def _write(path: Path, network: Network) -> None:
    """Write beside ``path``, then rename: a reader sees the whole file or none."""
    header = {"layers": [asdict(layer.shape) for layer in network.layers], "outputs": network.outputs}
    arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for layer in network.layers:
        arrays[f"weight{layer.shape.index}"] = layer.weight
        arrays[f"bias{layer.shape.index}"] = layer.bias
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".part", delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _read(path: Path) -> Network:
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
        layers = [
            Layer(Shape(**shape), file[f"weight{shape['index']}"], file[f"bias{shape['index']}"])
            for shape in header["layers"]
        ]
    return Network(layers, [tuple(shape) for shape in header["outputs"]])
