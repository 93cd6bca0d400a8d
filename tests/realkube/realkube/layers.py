# SPDX-License-Identifier: Apache-2.0
"""An image of one's own on top of another one: what a user does who has functions of the own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path


def derive(base: Path, target: Path, name: str, files: Mapping[str, str], environment: Mapping[str, str]) -> Path:
    """Write a docker archive that has one more layer than another one.

    Args:
        base: archive of one image.
        target: where the new archive goes.
        name: the new image's name and tag.
        files: texts by their paths in the image.
        environment: variables that its containers have besides.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, text in files.items():
            _add(tar, path, text.encode())
    with tarfile.open(base) as source, tarfile.open(target, "w") as made:
        manifest = json.loads(_read(source, "manifest.json"))
        image = manifest[0]
        config = json.loads(_read(source, image["Config"]))
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}")
        config["config"]["Env"] += [f"{key}={value}" for key, value in environment.items()]
        config.pop("history", None)  # it would have to tell of each layer
        for path in image["Layers"]:
            made.addfile(source.getmember(path), source.extractfile(path))
        _add(made, "own-layer.tar", layer.getvalue())
        _add(made, "own-config.json", json.dumps(config).encode())
        own = {"Config": "own-config.json", "RepoTags": [name], "Layers": [*image["Layers"], "own-layer.tar"]}
        _add(made, "manifest.json", json.dumps([own]).encode())
    return target


def _read(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.extractfile(path)
    assert member is not None, path
    return member.read()


def _add(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
