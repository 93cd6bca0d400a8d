# SPDX-License-Identifier: Apache-2.0
"""The detector's model file, and its folded weights in the cache.

Folding needs ``onnx`` and some 40 MB of memory; with a warm cache neither is spent.
"""

from __future__ import annotations

import contextlib
import errno
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
    """Write, then give it its name: a reader sees the whole file or none."""
    header = {"layers": [asdict(layer.shape) for layer in network.layers], "outputs": network.outputs}
    arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for layer in network.layers:
        arrays[f"weight{layer.shape.index}"] = layer.weight
        arrays[f"bias{layer.shape.index}"] = layer.bias
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Without a name until it is whole: nothing stays of a process that is killed meanwhile.
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        _write_named(path, arrays)  # a file system without nameless files
        return
    with os.fdopen(descriptor, "w+b") as file:
        np.savez(file, **arrays)
        file.flush()
        with contextlib.suppress(FileExistsError):  # somebody was faster; its content is the same, as its name says
            # The folder is of no use with an absolute path, but without one Python calls link(), which does not follow.
            os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno(), follow_symlinks=True)


def _write_named(path: Path, arrays: dict[str, Any]) -> None:
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
