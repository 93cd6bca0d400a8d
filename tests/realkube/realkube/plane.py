# SPDX-License-Identifier: Apache-2.0
"""The control plane: its certificates, and the command lines of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from realkube import audit
from realkube.pki import Authority, signing_key

# Addresses in the cluster's own network namespace, so that they are the same in every cluster.
PLANE_ADDRESS = "172.30.0.1"
SERVER = f"https://{PLANE_ADDRESS}:6443"
NODES_NETWORK = "172.30.0.0/24"
PODS_NETWORK = "10.244.0.0/16"
SERVICES_NETWORK = "10.96.0.0/16"
SERVER_SERVICE = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
_ETCD = "http://127.0.0.1:2379"
_ETCD_PEERS = "http://127.0.0.1:2380"
_USERS = ("kube-controller-manager", "kube-scheduler", "kube-proxy")
# Requests of the cluster's own parts are left out: tests ask what our ServiceAccounts did.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", *(f"system:{name}" for name in _USERS)]},
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Options:
    """How a cluster reacts to the loss of a node; all in seconds, much shorter than Kubernetes' own 50, 40 and 300.

    Attributes:
        node_grace: a node that has been silent for so long is NotReady.
        node_lease: duration of a node's Lease, which the kubelet renews four times as often.
        toleration: pods stay bound to a node that is NotReady for so long, unless they say otherwise.
    """

    node_grace: int = 20
    node_lease: int = 8
    toleration: int = 30


def network() -> str:
    """Return the commands of ``ip -batch`` that make the nodes' network: a bridge without any way out."""
    return "\n".join(
        (
            "link set lo up",
            "link add nodes type bridge",
            f"address add {PLANE_ADDRESS}/{NODES_NETWORK.split('/')[1]} dev nodes",
            f"address add {DNS_ADDRESS}/32 dev nodes",
            "link set nodes up",
            # A packet to a Service needs some route before its destination is rewritten.
            f"route add {SERVICES_NETWORK} dev nodes",
        )
    )


def write_files(root: Path, port: int) -> Authority:
    """Write certificates, kubeconfigs and the audit policy; ``kubeconfig`` is the host's, through the relay's port."""
    authority = Authority(root / "pki")
    names = [PLANE_ADDRESS, SERVER_SERVICE, "127.0.0.1", "localhost", "kubernetes"]
    names += ["kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    authority.issue("kube-apiserver", "kube-apiserver", names=names)
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"])
    signing_key(authority.folder)
    for user in _USERS:
        authority.kubeconfig(root / "pki" / user, SERVER, authority.issue(user, f"system:{user}"))
    administrator = authority.issue("administrator", "administrator", ["system:masters"])
    authority.kubeconfig(root / "pki" / "administrator", SERVER, administrator)
    authority.kubeconfig(root / "kubeconfig", f"https://127.0.0.1:{port}", administrator)
    (root / "audit-policy.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
    return authority


def etcd(kube: Path, root: Path) -> list[str]:
    """Return the command line of etcd, which may lose data with the machine."""
    client = [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", f"--listen-peer-urls={_ETCD_PEERS}"]
    return [str(kube), "etcd", f"--data-dir={root / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn", *client]


def api_server(kube: Path, root: Path, options: Options) -> list[str]:
    """Return the command line of the API server."""
    pki = root / "pki"
    return [
        str(kube),
        "kube-apiserver",
        f"--etcd-servers={_ETCD}",
        "--secure-port=6443",
        f"--advertise-address={PLANE_ADDRESS}",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'tokens.pub'}",
        f"--service-account-signing-key-file={pki / 'tokens.key'}",
        f"--service-cluster-ip-range={SERVICES_NETWORK}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--default-not-ready-toleration-seconds={options.toleration}",
        f"--default-unreachable-toleration-seconds={options.toleration}",
        f"--audit-policy-file={root / 'audit-policy.yaml'}",
        f"--audit-log-path={root / audit.FILE}",  # written before the answer goes out
    ]


def after_server(kube: Path, root: Path, options: Options) -> dict[str, Sequence[str]]:
    """Return the command lines of the parts that need a ready API server, by name."""
    pki = root / "pki"
    return {
        "kube-controller-manager": [
            str(kube),
            "kube-controller-manager",
            f"--kubeconfig={pki / 'kube-controller-manager'}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki / 'tokens.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={options.node_grace}s",
            "--node-eviction-rate=10",
        ],
        "kube-scheduler": [
            str(kube),
            "kube-scheduler",
            f"--kubeconfig={pki / 'kube-scheduler'}",
            "--leader-elect=false",
        ],
        "kube-proxy": [
            str(kube),
            "kube-proxy",
            f"--kubeconfig={pki / 'kube-proxy'}",
            "--hostname-override=n1",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS_NETWORK}",
            # These would be set for the whole machine.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ],
    }


def gateway(program: Path, root: Path, descriptor: int) -> list[str]:
    """Return the command line of the relay and DNS."""
    kubeconfig = root / "pki" / "administrator"
    return [str(program), f"-listener={descriptor}", f"-dns={DNS_ADDRESS}:53", f"-kubeconfig={kubeconfig}"]
