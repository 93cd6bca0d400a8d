# SPDX-License-Identifier: Apache-2.0
"""Small images made by hand, as archives that containerd imports; no registry and no daemon."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PAUSE = "localhost/pause:1"
BUSYBOX = "localhost/busybox:1"
ARGO_EXECUTOR = "localhost/argoexec:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_pause(target: Path, program: Path) -> Path:
    """Write the image of a pod's sandbox."""
    return _write(target, PAUSE, {"pause": program}, {}, ["/pause"])


def write_busybox(target: Path, program: Path) -> Path:
    """Write an image with the commands of a static busybox, for tests that need some container."""
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=10, check=True).stdout
    links = {f"bin/{name}": "busybox" for name in listed.split() if name != "busybox"}
    return _write(target, BUSYBOX, {"bin/busybox": program}, links, ["/bin/sh"])


def write_argo_executor(target: Path, program: Path) -> Path:
    """Write the image of Argo's executor, as its release has it for clusters that want no root."""
    texts = {
        "etc/passwd": "root:x:0:0::/:/none\nargo:x:8737:8737::/tmp:/none\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
    }
    return _write(target, ARGO_EXECUTOR, {"bin/argoexec": program}, {}, ["argoexec"], texts, user="8737")


def _write(
    target: Path,
    name: str,
    files: Mapping[str, Path],
    links: Mapping[str, str],
    entry: Sequence[str],
    texts: Mapping[str, str] | None = None,
    user: str = "65532:65532",
) -> Path:
    """Write a docker archive of one layer whose files belong to root, with a folder /tmp for everyone."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(scratch)
        for path, source in files.items():
            _add(tar, path, source.read_bytes(), 0o755)
        for path, text in (texts or {}).items():
            _add(tar, path, text.encode())
        for path, to in links.items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, to
            tar.addfile(link)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "config": {"User": user, "Cmd": list(entry), "Env": ["PATH=/bin"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as tar:
        _add(tar, "config.json", config)
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return target


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
