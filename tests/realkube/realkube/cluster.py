# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on one machine, for tests."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import yaml

from realkube import audit, images, keeper, machine, plane
from realkube.cgroups import Tree
from realkube.control import Control
from realkube.errors import ClusterError, tails
from realkube.launch import Keeper, launch, prepare_root
from realkube.node import Node
from realkube.pki import Authority
from realkube.plane import Options
from realkube.process import run, until
from realkube.server import Server
from realkube.state import State

_DEFAULTS = Options()
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_LOAD_SECONDS = 300.0


class Cluster:
    """A cluster whose control plane, nodes and pods live in namespaces of their own, without a way out.

    Node i is called ``n<i>``. Commands on the host use ``kubeconfig``; ``inside`` runs one in the cluster's network.
    """

    def __init__(self, root: Path, state: State, kept: Keeper | None = None) -> None:
        self.root = root
        self.kubeconfig = root / "kubeconfig"
        self._state = state
        self._keeper = kept  # whose pipe is closed with this object
        self._tree = Tree.of(state.name)
        self._control = Control(root)
        self._kube = Path(state.programs) / "kube"
        self._authority = Authority(root / "pki")
        self._server = Server(state.port, root / "pki")

    @classmethod
    def start(
        cls, root: Path | None = None, options: Options = _DEFAULTS, say: machine.Say = print, *, outlive: bool = False
    ) -> Self:
        """Start a cluster of one node; takes some 10 s once the control plane is built.

        Args:
            root: an empty folder, or one to be made, which ``stop`` removes; a temporary one if None.
            options: how it reacts to the loss of a node.
            say: is told of slow steps.
            outlive: whether the cluster outlives this process; else it ends with it, however that ends.

        Raises:
            RefusedError: the machine cannot or may not run a cluster.
            ClusterError: the cluster did not start.
        """
        machine.check()
        machine.install_packages(say)
        programs = machine.programs(say)
        keeper.clean_leftovers()
        name = keeper.PREFIX + secrets.token_hex(4)
        Tree.of(name)  # it may refuse
        root = Path(tempfile.gettempdir()) / name if root is None else root.resolve()
        prepare_root(root)
        with launch(name, root, outlive=outlive) as kept:
            plane.write_files(root, kept.port)
            state = State(name, str(programs), kept.port, kept.process.pid, options)
            cluster = cls(root, state, kept)
            cluster._start_plane(programs, kept.listener)
            state.write(root)
        return cluster

    @classmethod
    def attach(cls, root: Path) -> Self:
        """Use a cluster that somebody else started; ClusterError where none runs at the folder."""
        root = root.resolve()
        state = State.read(root)
        if not keeper.is_kept(state.name):
            raise ClusterError(f"the cluster at {root} has ended.")
        return cls(root, state)

    def stop(self) -> None:
        """End the cluster and remove all that it has, its folder too."""
        if keeper.is_kept(self._state.name):
            os.kill(self._state.keeper, signal.SIGTERM)
            until(lambda: not keeper.is_kept(self._state.name), _STOP_SECONDS, "the end of the cluster")
        if self._keeper is not None:
            self._keeper.end()
        if self.root.exists():
            raise ClusterError(f"the cluster at {self.root} was not cleaned.{tails(self.root / 'log' / 'keeper.log')}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes."""
        return [self._node(number).name for number in self._state.nodes]

    def kubectl(
        self, *arguments: object, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; ClusterError with its message where it fails and ``check`` is set."""
        command = [machine.KUBECTL, *arguments]
        environment = {"PATH": machine.SEARCH_PATH, "HOME": str(self.root), "KUBECONFIG": str(self.kubeconfig)}
        return run(command, stdin=stdin, timeout=timeout, check=check, environment=environment)

    def inside(
        self, argv: Sequence[str | Path], stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster's namespaces, on the host's files."""
        return run(self.inside_command(argv), stdin=stdin, timeout=timeout, check=check)

    def inside_command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command, for the host, that runs another one inside; killing the former kills the latter."""
        return self._control.command(argv)

    def load(self, archive: Path) -> None:
        """Import the images of a docker or OCI archive into every node."""
        for number in self._state.nodes:
            self._import(self._node(number), archive)

    def user(self, name: str, *groups: str) -> Path:
        """Return a kubeconfig of a user, who has those rights that RBAC gives the name and the groups."""
        file = f"user-{name.replace('/', '_')}"
        pair = self._authority.issue(file, name, groups)
        return self._authority.kubeconfig(self.root / "pki" / file, f"https://127.0.0.1:{self._state.port}", pair)

    def volume(self, namespace: str, name: str, path: str = "") -> Path:
        """Make a claim, bound to a folder of the host that everyone may write to.

        Args:
            namespace: the claim's, which exists.
            name: the claim's.
            path: the folder below the cluster's ``volumes``; ``<namespace>/<name>`` if empty. Two claims may share one.
        """
        folder = self.root / "volumes" / (path or f"{namespace}/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        common = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeMode": "Filesystem"}
        capacity = {"storage": "1Gi"}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{namespace}.{name}"},
            "spec": {
                **common,
                "capacity": capacity,
                "hostPath": {"path": str(folder), "type": "Directory"},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**common, "volumeName": f"{namespace}.{name}", "resources": {"requests": capacity}},
        }
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([volume, claim]))
        return folder

    def audit(self) -> Iterator[audit.Audited]:
        """Return the requests that were answered so far, those of the cluster's own parts left out."""
        return audit.read(self.root)

    def add_node(self) -> str:
        """Add a node that has the images of the first one, and return its name when it is ready."""
        node = self._new_node()
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            archive = Path(folder) / "images.tar"
            first = self._node(self._state.nodes[0])
            listed = self._ctr(first, "images", "list", "--quiet").split()
            self._ctr(first, "images", "export", archive, *(name for name in listed if not name.startswith("sha256:")))
            self._import(node, archive)
        self._start_kubelet(node)
        return node.name

    def remove_node(self, name: str) -> None:
        """Kill all of a node, frozen or not, and delete its Node and pods."""
        node = self._node(self._number(name))
        self._tree.kill(node.name)
        self.kubectl("delete", "node", name, "--ignore-not-found")
        self.kubectl("delete", "pods", "-A", f"--field-selector=spec.nodeName={name}", "--force", "--grace-period=0")
        self._state.nodes.remove(node.number)
        self._state.write(self.root)

    def freeze(self, name: str) -> None:
        """Stop kubelet, containerd, shims and all containers of a node where they are."""
        self._tree.freeze(self._node(self._number(name)).name, True)

    def thaw(self, name: str) -> None:
        """Let a frozen node go on."""
        self._tree.freeze(self._node(self._number(name)).name, False)

    def kill_part(self, name: str) -> None:
        """Kill a part: kube-apiserver, etcd, kube-controller-manager …, or ``n1-kubelet`` and ``n1-containerd``."""
        self._control.kill(name)

    def start_part(self, name: str) -> None:
        """Start a killed part again; returns when the API server is ready."""
        self._control.restart(name)
        until(self._server.is_ready, _START_SECONDS, "the API server")

    def memory(self) -> int:
        """Return the bytes of resident memory of all processes, pods among them."""
        return self._tree.memory()

    def _start_plane(self, programs: Path, listener: int) -> None:
        """Start everything, in an order in which nothing has to retry for long."""
        join = self._tree.procs(keeper.PLANE)
        options = self._state.options
        self.inside(["ip", "-batch", "-"], stdin=plane.network())
        self._control.start("etcd", plane.etcd(self._kube, self.root), join)
        self._control.start("kube-apiserver", plane.api_server(self._kube, self.root, options), join)
        node = self._new_node()
        gateway = plane.gateway(programs / "gateway", self.root, listener)
        self._control.start("gateway", gateway, join, [listener])
        busybox = machine.find("busybox")
        assert busybox is not None
        self._import(node, images.write_pause(self.root / "pause.tar", programs / "pause"))
        self._import(node, images.write_busybox(self.root / "busybox.tar", busybox))
        self._wait(self._server.is_ready, "the API server", "etcd", "kube-apiserver", "gateway")
        for name, command in plane.after_server(self._kube, self.root, options).items():
            self._control.start(name, command, join)
        self._start_kubelet(node)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(
            lambda: self._server.get(account) is not None, "the default ServiceAccount", "kube-controller-manager"
        )

    def _new_node(self) -> Node:
        """Start the containerd of a further node."""
        self._state.last_node += 1
        node = self._node(self._state.last_node)
        self._state.nodes.append(node.number)
        node.write_files(self._authority, self._state.options)
        self._tree.create(node.system)
        self.inside(["ip", "address", "add", f"{node.address}/32", "dev", "nodes"])
        self._control.start(f"{node.name}-containerd", node.containerd(), self._tree.procs(node.system))
        self._wait(node.socket.exists, "containerd", f"{node.name}-containerd")
        return node

    def _start_kubelet(self, node: Node) -> None:
        self._control.start(f"{node.name}-kubelet", node.kubelet(self._kube), self._tree.procs(node.system))
        logs = (f"{node.name}-kubelet", f"{node.name}-containerd", "kube-controller-manager")
        self._wait(lambda: self._server.has_ready_node(node.name), f"the node {node.name}", *logs)
        self._state.write(self.root)

    def _wait(self, condition: Callable[[], bool], what: str, *parts: str) -> None:
        """Wait for a condition; a ClusterError has the tails of the parts' logs."""
        try:
            until(condition, _START_SECONDS, what, self._control.check)
        except ClusterError as error:
            raise ClusterError(f"{error}{tails(*(self.root / 'log' / f'{part}.log' for part in parts))}") from None

    def _import(self, node: Node, archive: Path) -> None:
        self._ctr(node, "images", "import", archive.resolve())

    def _ctr(self, node: Node, *arguments: str | Path) -> str:
        command = ["ctr", "--address", node.socket, "--namespace", "k8s.io", *arguments]
        return run(command, timeout=_LOAD_SECONDS).stdout

    def _node(self, number: int) -> Node:
        return Node(self.root, self._state.name, number)

    def _number(self, name: str) -> int:
        if name not in self.nodes:
            raise ClusterError(f"there is no node {name!r}; there are {', '.join(self.nodes)}.")
        return int(name.removeprefix("n"))
