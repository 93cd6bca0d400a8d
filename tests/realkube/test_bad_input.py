# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (tables: a case a line)
"""Whatever users get wrong: the API refuses it with a sentence, or the flow is not accepted, with the field's path."""

from __future__ import annotations

import base64
import copy
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from realkube.cluster import Cluster
from realkube.process import until
from realkube.release import REPOSITORY, Release
from realkube.team import VOLUME, Flow, Team, demo

pytestmark = pytest.mark.timeout(240, func_only=True)
REMOVE = object()
F, C = "spec.chain.functions", "spec.chain.connections"
TWO = [{"function": "draw"}, {"function": "draw"}]

BY_THE_API: dict[str, tuple[str, Any, str]] = {
    # field of the spec, its new value, words of the sentence
    "no-chain": ("chain", REMOVE, "exactly one of chain"),
    "two-chains": ("chainRef", {"name": "x"}, "exactly one of chain"),
    "unknown-mode": ("mode", "Often", "spec.mode"),
    "unknown-field": ("activeDeadlineSecond", 5, "activeDeadlineSecond"),
    "deadline-in-the-past": ("activeDeadlineSeconds", -1, "spec.activeDeadlineSeconds"),
    "rate-of-none": ("rate", {"framesPerSecond": 0}, "spec.rate.framesPerSecond"),
    "retries-below-none": ("retries", {"limit": -1}, "spec.retries.limit"),
    "volume-above-etc": ("volumes.0.mountPath", "/etc", "mountPath"),
    "volume-with-dots": ("volumes.0.mountPath", "/data/../etc", "mountPath"),
    "volume-relative": ("volumes.0.mountPath", "data", "mountPath"),
    "two-of-a-name": ("volumes", [VOLUME, VOLUME], "spec.volumes"),
    "no-claim": ("volumes.0.persistentVolumeClaim", REMOVE, "persistentVolumeClaim"),
    "port-without-function": ("chain.connections.0.from", "decode", "spec.chain.connections[0].from"),
    "name-of-a-function": ("chain.functions.0.name", "De code", "spec.chain.functions[0].name"),
    "functions-of-a-name": ("chain.functions.0.name", "draw", "spec.chain.functions"),
    "overrides-of-a-name": ("functionParameters", TWO, "spec.functionParameters"),
    "a-list-for-a-text": ("inputs.video.uri", ["a", "b"], "spec.inputs.video.uri"),
    "edge-of-no-function": ("chain.connections.1.from", "resise.frames", "with a function of this chain"),
    "port-fed-twice": ("chain.connections.0.to", "draw.frames", "an input port takes one connection"),
}

BY_THE_OPERATORS: dict[str, tuple[str, Any, str, str, str]] = {
    # field of the spec, its new value, reason, path, words of the sentence
    "unknown-type": ("chain.functions.1.type", "filter-resise", "UnknownFunction", f"{F}[1].type", "did you mean 'filter-resize'?"),
    "unknown-version": ("chain.functions.1.version", "9.9.9", "UnknownFunction", f"{F}[1].version", "1.0.0"),
    "text-for-a-number": ("chain.functions.1.parameters.width", "wide", "InvalidParameter", f"{F}[1].parameters.width", "an integer is wanted"),
    "too-small": ("chain.functions.1.parameters.width", 4, "InvalidParameter", f"{F}[1].parameters.width", "minimum, 16"),
    "no-value": ("chain.functions.1.parameters.width", REMOVE, "InvalidParameter", f"{F}[1].parameters.width", "give it a value"),
    "no-choice": ("chain.functions.1.parameters.filter", "blur", "InvalidParameter", f"{F}[1].parameters.filter", "gaussian"),
    "unknown-parameter": ("chain.functions.1.parameters.with", 3, "UnknownParameter", f"{F}[1].parameters.with", "did you mean 'width'?"),
    "shapes": ("chain.functions.1.parameters.width", 320, "PortTypeMismatch", f"{C}[1]", "[300, 300, 3]"),
    "types-of-ports": ("chain.connections.5.from", "decode.frames", "PortTypeMismatch", f"{C}[5]", "wants detections"),
    "empty-address": ("inputs.video.uri", "", "InvalidParameter", "spec.inputs.video.uri", "empty"),
    "unknown-port": ("chain.connections.1.from", "resize.frame", "UnknownPort", f"{C}[1].from", "did you mean 'frames'?"),
    "cycle": ("chain.connections.0.from", "draw.frames", "Cycle", f"{C}[0]", "resize → detect → draw → resize"),
    "open-input": ("chain.connections.3", REMOVE, "InputNotConnected", f"{F}[3]", "connect a port of type detections"),
    "conditional-edge": ("chain.connections.0.when", "frame % 2 == 0", "NotSupported", f"{C}[0].when", "conditional"),
    "unknown-connection-type": ("chain.connections.0.connectionType", "fast", "InvalidParameter", f"{C}[0].connectionType", "there is none"),
    "parameter-out-of-range": ("parameters.threshold", 2, "InvalidParameter", "spec.parameters.threshold", "above the maximum, 1"),
    "parameter-nobody-has": ("parameters.tresh", 1, "UnknownParameter", "spec.parameters.tresh", "did you mean 'threshold'?"),
    "input-missing": ("inputs.video", REMOVE, "MissingInput", "spec.inputs.video", "address"),
    "output-missing": ("outputs.annotated", REMOVE, "MissingOutput", "spec.outputs.annotated", "address"),
    "relative-address": ("inputs.video.uri", "street.mp4", "InvalidParameter", "spec.inputs.video.uri", "file:///"),
    "outside-of-volumes": ("inputs.video.uri", "file:///etc/passwd", "InvalidParameter", "spec.inputs.video.uri", "/data"),
    "one-file-twice": ("outputs.detections.uri", "file:///data/x/../spoilt.mp4", "InvalidParameter", "spec.outputs.detections.uri", "output 'annotated'"),
    "output-on-input": ("outputs.annotated.uri", "file:///data/people.mp4", "InvalidParameter", "spec.outputs.annotated.uri", "input 'video'"),
    "read-only": ("volumes.0.readOnly", True, "InvalidParameter", "spec.outputs.annotated.uri", "read-only"),
    "rate-of-nobody": ("rate", {"framesPerSecond": 1, "functions": [{"function": "dect", "framesPerSecond": 1}]}, "UnknownFunction", "spec.rate.functions[0].function", "'detect'"),
    "rate-out-of-reach": ("rate", {"framesPerSecond": 1000000}, "RateUnreachable", "spec.rate.framesPerSecond", "no device reaches"),
    "regions": ("placement.rules.0.regions", ["lane0"], "NotSupported", "spec.placement.rules[0].regions", "whole devices"),
    "unknown-device": ("placement.rules.0.devices", ["cpu7"], "UnknownDevice", "spec.placement.rules[0].devices[0]", "cpu7"),
    "unknown-strategy": ("strategyRef", {"name": "pack"}, "InvalidParameter", "spec.strategyRef.name", "no SchedulingStrategy 'pack'"),
}  # fmt: skip


def spoilt(name: str, field: str, value: Any) -> Flow:
    """Return the demo with its chain inside, and one field changed."""
    chain, flow = copy.deepcopy(demo(name))
    del flow["spec"]["chainRef"]
    flow["spec"]["chain"] = chain["spec"]
    flow["spec"]["outputs"]["annotated"]["uri"] = "file:///data/spoilt.mp4"
    *way, last = field.split(".")
    holder: Any = flow["spec"]
    for key in way:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    place: Any = int(last) if isinstance(holder, list) else last
    if value is REMOVE:
        del holder[place]
    else:
        holder[place] = copy.deepcopy(value)
    return flow


@pytest.fixture(scope="module")
def outsiders(cluster: Cluster, installed: Release) -> Iterator[Team]:
    """A namespace for flows that never run."""
    team = Team(cluster, f"team-{uuid.uuid4().hex[:8]}")
    yield team
    team.end()


@pytest.fixture(scope="module")
def accepted(outsiders: Team) -> dict[str, Flow]:
    """The conditions Accepted of all flows that the operators have to refuse, applied in one go."""
    outsiders.apply(*(spoilt(name, field, value) for name, (field, value, *_) in BY_THE_OPERATORS.items()))
    found: dict[str, Flow] = {}

    def all_are_judged() -> bool:
        for flow in json.loads(outsiders.kubectl("get", "dataflows", "-o", "json").stdout)["items"]:
            for condition in flow.get("status", {}).get("conditions", ()):
                if condition["type"] == "Accepted":
                    found[flow["metadata"]["name"]] = condition
        return found.keys() >= BY_THE_OPERATORS.keys()

    until(all_are_judged, 60, "the judgement of all flows")
    return found


@pytest.mark.parametrize("name", BY_THE_API)
def test_the_api_refuses(outsiders: Team, name: str) -> None:
    field, value, words = BY_THE_API[name]
    assert words in outsiders.refusal(spoilt(name, field, value))


@pytest.mark.parametrize("name", BY_THE_OPERATORS)
def test_the_operators_refuse(accepted: dict[str, Flow], name: str) -> None:
    _, _, reason, path, words = BY_THE_OPERATORS[name]
    condition = accepted[name]
    assert (condition["status"], condition["reason"]) == ("False", reason), condition
    assert path in condition["message"] and words in condition["message"]


def test_nothing_is_made_of_what_is_refused(outsiders: Team, accepted: dict[str, Flow]) -> None:
    assert {name.split("/")[0] for name in outsiders.left()} == {"dataflow.accelchain.io"}
    phases = outsiders.kubectl("get", "dataflows", "-o", "jsonpath={.items[*].status.phase}").stdout.split()
    assert set(phases) == {"Refused"}


def test_a_refused_flow_is_mended(installed: Release, team: Team) -> None:
    team.apply(spoilt("mended", "chain.functions.1.type", "filter-resise"))
    team.until_phase("mended", "Refused")
    team.apply(spoilt("mended", "chain.functions.1.type", "filter-resize"))
    team.until_phase("mended", "Succeeded", seconds=90)


def test_what_can_not_be_changed_once_it_is_placed(installed: Release, team: Team) -> None:
    team.apply(*demo(suspend=False, mode="Stream"))
    team.until_phase("person-detection", "Running")
    said = team.kubectl(
        "patch", "dataflow", "person-detection", "--type=merge", "-p", '{"spec": {"mode": "Batch"}}', check=False
    )
    assert said.returncode and "mode" in said.stderr


# -- logins and rights -----------------------------------------------------------------------------------------------


@pytest.fixture
def asked(machine: Any, team: Team) -> Callable[[Path], str]:
    """Ask for flows with a kubeconfig that is no good, and return the one sentence."""

    def ask(kubeconfig: Path) -> str:
        done = machine.run("get", "--kubeconfig", kubeconfig, "-n", team.namespace)
        assert done.returncode in (1, 2) and done.stdout == ""
        assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
        return str(done.stderr)

    return ask


def test_a_kubeconfig_that_is_not_there(asked: Callable[[Path], str], machine: Any) -> None:
    assert "nowhere" in asked(machine.work / "nowhere")


def test_a_context_that_is_not_there(installed: Release, cluster: Cluster, machine: Any) -> None:
    done = machine.run("get", "--kubeconfig", cluster.kubeconfig, "--context", "moon")
    assert done.returncode == 2 and "moon" in done.stderr and "realkube" in done.stderr


def sign(root: Path, claims: dict[str, Any]) -> str:
    """Return a token as the API server issues it, signed with its own key."""

    def encode(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    key = serialization.load_pem_private_key((root / "pki" / "tokens.key").read_bytes(), None)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    head = encode(json.dumps({"alg": "RS256" if is_rsa else "ES256"}).encode())
    text = f"{head}.{encode(json.dumps(claims).encode())}"
    if isinstance(key, rsa.RSAPrivateKey):
        return f"{text}.{encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_a_token_that_expired(
    installed: Release, cluster: Cluster, team: Team, asked: Callable[[Path], str], tmp_path: Path
) -> None:
    account = json.loads(team.kubectl("get", "serviceaccount", "default", "-o", "json").stdout)["metadata"]
    issuer, hour = "https://kubernetes.default.svc.cluster.local", 3600
    claims = {
        "iss": issuer,
        "aud": [issuer],
        "sub": f"system:serviceaccount:{team.namespace}:default",
        "kubernetes.io": {
            "namespace": team.namespace,
            "serviceaccount": {"name": "default", "uid": account["uid"]},
        },
    }
    sentences = {}
    for name, offset in (("valid", hour), ("expired", -hour)):
        now = int(time.time()) + offset
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        times = {"iat": now - hour, "nbf": now - hour, "exp": now}
        config["users"][0]["user"] = {"token": sign(cluster.root, claims | times)}
        (tmp_path / name).write_text(yaml.safe_dump(config))
        sentences[name] = asked(tmp_path / name)
    assert "may not list dataflows" in sentences["valid"], "the token is one but for its time"
    assert "expired at" in sentences["expired"] and "log in again" in sentences["expired"]


def test_a_missing_right(
    installed: Release, cluster: Cluster, team: Team, asked: Callable[[Path], str], machine: Any
) -> None:
    nobody = cluster.user("nobody")
    assert f"nobody may not list dataflows.accelchain.io in namespace {team.namespace}" in asked(nobody)
    team.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", "--user=viewer")
    viewer = cluster.user("viewer")
    (machine.work / "flow.yaml").write_text(yaml.safe_dump_all(demo()))
    done = machine.run("run", "flow.yaml", "--no-report", "--kubeconfig", viewer, "-n", team.namespace)
    assert done.returncode == 2 and "viewer may not create" in done.stderr, done.stderr
    assert "accelchain.io" in done.stderr and team.namespace in done.stderr
    assert team.left() == []


# -- a cluster without our kinds, or with older ones -----------------------------------------------------------------


@pytest.fixture
def operator(machine: Any, cluster: Cluster) -> Callable[[], str]:
    """Run the operators outside of the cluster until they end by themselves, and return their last sentence."""

    def run() -> str:
        options = ("--no-leader-elect", "--log-format=text", "--health-address=0", "--metrics-address=0")
        done = machine.run("operator", *options, "--kubeconfig", cluster.kubeconfig, "-n", "default")
        assert done.returncode == 1, done.stderr
        return str(done.stderr.strip().splitlines()[-1])

    return run


@pytest.fixture
def bare(cluster: Cluster) -> None:
    """A cluster whose CRDs were removed: after the release was uninstalled."""
    cluster.kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=accelchain", "--timeout=60s", timeout=70)


@pytest.mark.finale(3)
def test_no_crds(bare: None, operator: Callable[[], str], asked: Callable[[Path], str], cluster: Cluster) -> None:
    assert "the CRDs of accelchain are not installed" in operator()
    assert "ask its administrator to install accelchain" in asked(cluster.kubeconfig)


@pytest.mark.finale(4)
def test_older_crds(bare: None, operator: Callable[[], str], cluster: Cluster) -> None:
    for path in sorted((REPOSITORY / "manifests" / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        if definition["spec"]["names"]["kind"] == "DataFlow":
            schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            del schema["properties"]["spec"]["properties"]["ttlSecondsAfterFinished"]
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(definition))
    said = operator()
    assert "the CRDs of accelchain are older than these operators" in said
    assert "ttlSecondsAfterFinished" in said
    cluster.kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=accelchain", "--timeout=60s", timeout=70)
