# SPDX-License-Identifier: Apache-2.0
"""A container's file system: its own /tmp, /s3, /minio, /gcs and service account, by a mount namespace."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OWN = ("tmp", "s3", "minio", "gcs", "run")
"""Folders of the root that no two containers share."""
REPOSITORY = Path(__file__).resolve().parents[4]
IMAGE = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix))
"""What a container finds of this machine wherever it lies: in /tmp as well."""
ACCOUNT = "run/secrets/kubernetes.io/serviceaccount"


@functools.cache
def is_possible() -> bool:
    """Whether this machine lets us have mount namespaces."""
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, check=False, timeout=10)
    return tried.returncode == 0


def _unshare() -> list[str]:
    own_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *own_user, "--mount", "--propagation", "private"]


def wrap(command: Sequence[str], folder: Path, shared: Sequence[Path]) -> list[str]:
    """Return the command that runs ``command`` with ``folder`` as its /tmp, /s3 …; ``shared`` and the image stay."""
    root = folder / "root"
    root.mkdir(exist_ok=True)
    lines = ["set -e", f"R={shlex.quote(str(root))}", "mount -t tmpfs -o mode=755 tmpfs $R"]
    for entry in sorted(Path("/").iterdir()):
        name = shlex.quote(entry.name)
        if entry.name in OWN:
            continue
        if entry.is_symlink():
            lines.append(f"cp -P /{name} $R/{name}")
        elif entry.is_dir():
            lines.append(f"mkdir $R/{name}; mount --rbind /{name} $R/{name}")
    for name in OWN:
        (folder / name).mkdir(exist_ok=True)
        lines.append(f"mkdir $R/{name}; mount --bind {shlex.quote(str(folder / name))} $R/{name}")
    for each in dict.fromkeys((*IMAGE, *shared)):
        if each.is_relative_to("/tmp") or each.is_relative_to("/run"):
            (folder / each.relative_to("/")).mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {shlex.quote(str(each))} $R{shlex.quote(str(each))}")
    lines.append('exec chroot $R "$@"')
    return [*_unshare(), "sh", "-c", "\n".join(lines), "sandbox", *command]
