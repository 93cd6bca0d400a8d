# SPDX-License-Identifier: Apache-2.0
"""The cluster is a real one: pods run, Services and DNS work, policies hold, and nothing outside can be reached."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.cluster import Cluster
from realkube.errors import ClusterError

SERVER = (
    "mkdir -p /scratch/www; echo hello >/scratch/www/index.html; echo started as $(id -u); "
    "exec httpd -f -p 8080 -h /scratch/www"
)
SERVED = "GET / HTTP/1.0\\r\\n\\r\\n"


def pod(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """Make a pod that the restricted profile accepts; it can write to /scratch."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "work", "emptyDir": {}}],
            "containers": [
                {
                    "name": "main",
                    "image": "localhost/busybox:1",
                    "command": ["sh", "-c", script],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "work", "mountPath": "/scratch"}],
                }
            ],
            **spec,
        },
    }


def apply(cluster: Cluster, namespace: str, *objects: Mapping[str, Any]) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def wait_ready(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=70)


def output(cluster: Cluster, namespace: str, name: str, script: str) -> str:
    """Return what a script prints in a running pod."""
    return cluster.kubectl("-n", namespace, "exec", name, "--", "sh", "-c", script).stdout


@pytest.fixture
def web(cluster: Cluster, namespace: str) -> str:
    """A pod that serves, and a Service before it."""
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    served = pod("server", SERVER)
    served["spec"]["containers"][0]["readinessProbe"] = probe
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    apply(cluster, namespace, served, service, pod("client", "exec sleep 600"))
    for name in ("server", "client"):
        wait_ready(cluster, namespace, name)
    return namespace


def test_a_restricted_pod_runs_and_is_seen_from_the_host(cluster: Cluster, web: str) -> None:
    assert cluster.kubectl("-n", web, "logs", "server").stdout == "started as 65532\n"
    assert output(cluster, web, "server", "cat /scratch/www/index.html; touch /x 2>&1 || true").splitlines() == [
        "hello",
        "touch: /x: Read-only file system",
    ]
    with subprocess.Popen(
        [Path(sys.executable).parent / "kubectl", "-n", web, "port-forward", "pod/server", ":8080"],
        env={"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.root)},
        stdout=subprocess.PIPE,
        text=True,
    ) as forward:
        assert forward.stdout is not None
        port = forward.stdout.readline().split(" -> ")[0].rsplit(":", 1)[1]
        got = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read())",
                f"http://127.0.0.1:{port}/",
            ],
            env={"no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        forward.terminate()
    assert got.stdout == "b'hello\\n'\n"


def test_a_service_is_reached_by_address_and_by_name(cluster: Cluster, web: str) -> None:
    address = cluster.kubectl("-n", web, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").stdout
    for host in (address, "web", f"web.{web}", f"web.{web}.svc.cluster.local"):
        assert "hello" in output(cluster, web, "client", f"printf '{SERVED}' | nc -w 5 {host} 80"), host
    unknown = cluster.kubectl("-n", web, "exec", "client", "--", "nslookup", "nothing.example.com.", check=False)
    assert "NXDOMAIN" in unknown.stdout + unknown.stderr
    # From the cluster's own network, where an S3 server for tests would run, it works as well.
    request = (
        f"import socket; s = socket.create_connection(('{address}', 80), 5); s.send(b'{SERVED}'); print(s.recv(999))"
    )
    assert "200 OK" in cluster.inside([sys.executable, "-c", request]).stdout


def test_nothing_outside_can_be_reached(cluster: Cluster, web: str) -> None:
    for host in ("1.1.1.1", "169.254.169.254"):
        tried = output(
            cluster, web, "client", f"nc -w 3 {host} 80 </dev/null 2>/dev/null && echo reached || echo failed"
        )
        assert tried == "failed\n"
    links = json.loads(cluster.inside(["ip", "-json", "link"]).stdout)
    assert not [link for link in links if link["ifname"].startswith(("eth", "en", "wl"))]
    routes = json.loads(cluster.inside(["ip", "-json", "route"]).stdout)
    assert "default" not in {route["dst"] for route in routes}


def test_pod_security_holds(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted:latest": host namespaces'):
        apply(cluster, namespace, pod("host", "true", hostNetwork=True))


def test_rights_are_roles_and_the_audit_log_tells_them(cluster: Cluster, namespace: str) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    mine = ("--kubeconfig", cluster.user(user), "-n", namespace)
    with pytest.raises(ClusterError, match=f'User "{user}" cannot list resource "pods"'):
        cluster.kubectl(*mine, "get", "pods")
    cluster.kubectl("-n", namespace, "create", "role", "reader", "--verb=list", "--resource=pods")
    cluster.kubectl("-n", namespace, "create", "rolebinding", "reader", "--role=reader", f"--user={user}")
    cluster.kubectl(*mine, "get", "pods")
    asked = [entry for entry in cluster.audit() if entry.user == user and entry.resource == "pods"]
    assert [(entry.verb, entry.namespace, entry.code) for entry in asked] == [
        ("list", namespace, 403),
        ("list", namespace, 200),
    ]


def test_a_pod_uses_the_api_with_its_service_accounts_token(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    apply(cluster, namespace, pod("client", "exec sleep 600", serviceAccountName="reader"))
    wait_ready(cluster, namespace, "client")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    token = output(cluster, namespace, "client", f"cat {folder}/token")
    reach = output(
        cluster, namespace, "client", "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo yes"
    )
    assert reach == "yes\n"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)).stdout
    assert json.loads(answer)["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:reader"


def test_a_pods_volume_is_a_folder_of_the_host(cluster: Cluster, namespace: str) -> None:
    folder = cluster.volume(namespace, "data")
    volume = {"name": "work", "persistentVolumeClaim": {"claimName": "data"}}
    apply(cluster, namespace, pod("writer", "echo written >/scratch/file", volumes=[volume]))
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=60s")
    assert (folder / "file").read_text() == "written\n"
    assert (folder / "file").stat().st_uid == 65532


def test_a_watch_goes_through_the_relay_while_others_come_and_go(
    cluster: Cluster, namespace: str, wait_until: Callable[..., None], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    with open(seen, "w") as out:
        watch = subprocess.Popen(
            [
                Path(sys.executable).parent / "kubectl",
                "-n",
                namespace,
                "get",
                "configmaps",
                "--watch-only",
                "-o",
                "name",
            ],
            env={"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.root)},
            stdout=out,
        )
    try:
        for number in range(30):
            cluster.kubectl("-n", namespace, "create", "configmap", f"m{number}")
        wait_until(lambda: seen.read_text().count("configmap/m29") == 1, 20, "the last event")
    finally:
        watch.kill()
        watch.wait()
    assert len(set(seen.read_text().split())) >= 29  # the first may have come before the watch


def test_our_definitions_apply_and_refuse_a_bad_flow(cluster: Cluster, namespace: str, repository: Path) -> None:
    crds = repository / "manifests" / "crds"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
    cluster.kubectl("wait", "--for=condition=Established", "-f", crds, "--timeout=30s")
    flow = {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": "DataFlow",
        "metadata": {"name": "both"},
        "spec": {"chainRef": {"name": "x"}, "chain": {"functions": [], "connections": []}},
    }
    with pytest.raises(ClusterError, match="give exactly one of chain and chainRef"):
        apply(cluster, namespace, flow)
    assert cluster.kubectl("-n", namespace, "get", "dataflows", "-o", "name").stdout == ""
