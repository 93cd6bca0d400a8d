# SPDX-License-Identifier: Apache-2.0
"""A node: a containerd and a kubelet with a pod network, control groups and folders of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from realkube.images import PAUSE
from realkube.machine import CNI_PLUGINS
from realkube.pki import Authority
from realkube.plane import DNS_ADDRESS, NODES_NETWORK, SERVER, Options

_CONTAINERD = """version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true  # where root may not lower it, no sandbox would start otherwise
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"""


@dataclass(frozen=True)
class Node:
    """The n-th node of a cluster, counted from 1."""

    root: Path
    cluster: str
    number: int

    @property
    def name(self) -> str:
        """The Node's name."""
        return f"n{self.number}"

    @property
    def address(self) -> str:
        """The node's address in the cluster's network namespace."""
        return f"{NODES_NETWORK.rsplit('.', 1)[0]}.{self.number + 1}"

    @property
    def pods(self) -> str:
        """The network of the node's pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def folder(self) -> Path:
        """Where the node keeps all that it has."""
        return self.root / "nodes" / self.name

    @property
    def socket(self) -> Path:
        """Where its containerd listens."""
        return self.folder / "containerd.sock"

    @property
    def system(self) -> str:
        """The branch of control groups of its containerd, shims and kubelet."""
        return f"{self.name}/system"

    def write_files(self, authority: Authority, options: Options) -> None:
        """Write the configuration and certificates of the node."""
        for folder in ("cni", "kubelet", "volume-plugins"):
            (self.folder / folder).mkdir(parents=True)
        content = _CONTAINERD.format(folder=self.folder, socket=self.socket, pause=PAUSE, plugins=CNI_PLUGINS)
        (self.folder / "containerd.toml").write_text(content)
        (self.folder / "cni" / "10-pods.conflist").write_text(json.dumps(self._pod_network()))
        (self.folder / "resolv.conf").write_text("")
        pair = authority.issue(
            self.name, f"system:node:{self.name}", ["system:nodes"], [self.name, self.address, "127.0.0.1"]
        )
        authority.kubeconfig(self.folder / "kubeconfig", SERVER, pair)
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet(authority, options)))

    def containerd(self) -> list[str]:
        """Return the command line of containerd."""
        return ["containerd", "--config", str(self.folder / "containerd.toml")]

    def kubelet(self, kube: Path) -> list[str]:
        """Return the command line of the kubelet."""
        return [
            str(kube),
            "kubelet",
            f"--config={self.folder / 'kubelet.yaml'}",
            f"--kubeconfig={self.folder / 'kubeconfig'}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet'}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
        ]

    def _pod_network(self) -> dict[str, object]:
        """Return a network in which every pod is routed: no bridge, hence no rules for traffic across one."""
        addresses: dict[str, object] = {
            "type": "host-local",
            "dataDir": str(self.folder / "addresses"),
            "ranges": [[{"subnet": self.pods}]],
        }
        addresses["routes"] = [{"dst": "0.0.0.0/0"}]
        plugins = [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}

    def _kubelet(self, authority: Authority, options: Options) -> dict[str, object]:
        pki = authority.folder
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "healthzBindAddress": self.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority.pair.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / f"{self.name}.crt"),
            "tlsPrivateKeyFile": str(pki / f"{self.name}.key"),
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cluster}/{self.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            "podLogsDir": str(self.folder / "logs"),
            "volumePluginDir": str(self.folder / "volume-plugins"),
            "staticPodPath": "",
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "5s",
            "nodeLeaseDurationSeconds": options.node_lease,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "500Mi"},
            "imageGCHighThresholdPercent": 100,  # there is no registry to fetch an image from again
        }
