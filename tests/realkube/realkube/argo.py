# SPDX-License-Identifier: Apache-2.0
"""Argo Workflows in a cluster: the controller of a release as a process beside the control plane.

Its binaries, CRDs and roles belong to a release that the environment names; nothing of them is here:

- ACCELCHAIN_ARGO_CONTROLLER: the release's ``workflow-controller``;
- ACCELCHAIN_ARGOEXEC: its ``argoexec``, linked statically: the image of agents and of pods' helpers is made of it;
- ACCELCHAIN_ARGO_CRDS: files or folders, separated by ``:``, with its CRDs and the controller's roles, as its
  ``install.yaml`` has them; a checkout's folder of CRDs brings the roles that lie beside it;
- ACCELCHAIN_ARGO: its command line ``argo``; without it tests that need it are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from realkube import images
from realkube.argo_store import KEYS_SECRET, PLACE
from realkube.cluster import Cluster
from realkube.errors import ClusterError, RefusedError, tails
from realkube.plane import SERVER
from realkube.process import run, until

NAMESPACE = "argo"
ACCOUNT = "argo"
CONFIG = "workflow-controller-configmap"
_ROLES = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
_RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_HEALTH = "http://127.0.0.1:6060/healthz"
_CHECKOUTS_ROLES = "cluster-install-no-crds/workflow-controller-rbac"
_CRD_SECONDS = 180.0
_READY_SECONDS = 90.0
_END_SECONDS = 40.0


@dataclass(frozen=True)
class Binaries:
    """What a release of Argo is made of."""

    controller: Path
    executor: Path
    manifests: tuple[Path, ...]
    cli: Path | None


def binaries(environment: Mapping[str, str] = os.environ) -> Binaries:
    """Return the release that the environment names; RefusedError where it names none."""

    def path(name: str) -> Path:
        value = environment.get(name, "")
        if not value:
            raise RefusedError(f"{name} names no file: see tests/realkube/README.md, Argo.")
        if not Path(value).is_file():
            raise RefusedError(f"{name}: there is no file {value}.")
        return Path(value).resolve()

    manifests = tuple(Path(part) for part in environment.get("ACCELCHAIN_ARGO_CRDS", "").split(":") if part)
    if not manifests:
        raise RefusedError("ACCELCHAIN_ARGO_CRDS names nothing: see tests/realkube/README.md, Argo.")
    if missing := [str(part) for part in manifests if not part.exists()]:
        raise RefusedError(f"ACCELCHAIN_ARGO_CRDS: there is no {', '.join(missing)}.")
    cli = path("ACCELCHAIN_ARGO") if environment.get("ACCELCHAIN_ARGO") else None
    return Binaries(path("ACCELCHAIN_ARGO_CONTROLLER"), path("ACCELCHAIN_ARGOEXEC"), manifests, cli)


class Argo:
    """Argo in a cluster; the controller runs from ``start`` to ``stop``."""

    def __init__(self, cluster: Cluster, release: Binaries) -> None:
        self._cluster = cluster
        self._release = release
        self._process: subprocess.Popen[bytes] | None = None
        self._log = cluster.root / "log" / "argo-controller.log"
        self._options: dict[str, Any] = {}
        said = run([release.controller, "version"], timeout=30).stdout
        found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
        self.version = tuple(map(int, found.groups())) if found else (0, 0, 0)
        """Empty builds say 0.0.0, as ``go build`` without the release's flags does."""

    @property
    def has_cli(self) -> bool:
        """Whether the release's command line is there."""
        return self._release.cli is not None

    @property
    def can_do_without_agents(self) -> bool:
        """Whether the controller has the switch ``disableAgentPodCreation``: releases from 4.1 on."""
        return self.version >= (4, 1, 0)

    def install(self) -> None:
        """Install the CRDs, the controller's account and roles, and the executor's image."""
        crds = [obj for obj in self._manifests() if obj["kind"] == "CustomResourceDefinition"]
        roles = [obj for obj in self._manifests() if obj["kind"] in _ROLES and "server" not in obj["metadata"]["name"]]
        if not crds or not any(obj["kind"] == "ClusterRole" for obj in roles):
            raise RefusedError("ACCELCHAIN_ARGO_CRDS holds no CRDs, or no ClusterRole of the controller.")
        self._apply(*crds)
        names = [f"crd/{obj['metadata']['name']}" for obj in crds]
        self._cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=60s", timeout=70)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}
        self._apply(space, account, *map(_in_namespace, [*roles, *_memoizer()]))
        with tempfile.TemporaryDirectory(dir=self._cluster.root) as folder:
            self._cluster.load(images.write_argo_executor(Path(folder) / "argoexec.tar", self._release.executor))

    def start(self, *, requeue: str = "1s", agents: bool = True, **config: Any) -> None:
        """Start the controller, or start it anew where it runs.

        Args:
            requeue: its DEFAULT_REQUEUE_TIME, from which agents have their rate of patches too; Argo's own is 10 s.
            agents: whether it makes agent pods; False is ``disableAgentPodCreation``.
            config: what its ConfigMap holds besides.
        """
        self.stop()
        self._options = {"requeue": requeue, "agents": agents, **config}
        self._apply(self._config(agents, config))
        settings = {
            "KUBECONFIG": str(self._kubeconfig()),
            "LEADER_ELECTION_DISABLE": "true",
            "ARGO_EXECUTOR_PLUGINS": "true",
            "DEFAULT_REQUEUE_TIME": requeue,
            "HOME": "/tmp",
        }
        program = [self._release.controller, "--namespace", NAMESPACE, "--executor-image", images.ARGO_EXECUTOR]
        program += ["--executor-image-pull-policy", "IfNotPresent"]
        command = ["env", "-i", *(f"{name}={value}" for name, value in settings.items()), *map(str, program)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._cluster.inside_command(command), stdout=log, stderr=log)
        until(self._answers, _READY_SECONDS, "Argo's controller", self._check)

    def restart(self) -> None:
        """Kill the controller and start it as it was."""
        self.start(**self._options)

    def stop(self) -> None:
        """End the controller, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_END_SECONDS)
            self._process = None
        until(lambda: not self._answers(), _END_SECONDS, "the end of another controller in this cluster")

    def cli(self, namespace: str, *arguments: object, check: bool = True) -> str:
        """Run ``argo`` in a namespace; return what it prints."""
        assert self._release.cli is not None, "ask has_cli"
        environment = {"KUBECONFIG": str(self._cluster.kubeconfig), "HOME": str(self._cluster.root), "PATH": "/bin"}
        command = [self._release.cli, "--namespace", namespace, *arguments]
        done = run(command, timeout=60, environment=environment, check=check)
        return done.stdout + done.stderr

    def _answers(self) -> bool:
        """Tell whether a controller runs and is well."""
        probe = ["curl", "--silent", "--fail", "--output", "/dev/null", "--max-time", "5", _HEALTH]
        return self._cluster.inside(probe, check=False).returncode == 0

    def _check(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ClusterError(f"Argo's controller ended with {self._process.returncode}.{tails(self._log)}")

    def _manifests(self) -> Iterator[dict[str, Any]]:
        beside = [folder / _CHECKOUTS_ROLES for part in self._release.manifests for folder in part.resolve().parents]
        for part in (*self._release.manifests, *(folder for folder in beside if folder.is_dir())):
            for file in sorted(part.rglob("*.yaml")) if part.is_dir() else [part]:
                for obj in yaml.load_all(file.read_text(), yaml.CSafeLoader):
                    if obj and obj.get("kind") != "Kustomization":
                        yield obj

    def _apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply on the server's side: full CRDs are too long for kubectl's annotation."""
        text = yaml.dump_all(objects, Dumper=yaml.CSafeDumper)
        options = ["--server-side", "--force-conflicts"]
        self._cluster.kubectl("apply", *options, "-f", "-", stdin=text, timeout=_CRD_SECONDS)

    def _config(self, agents: bool, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the controller's ConfigMap: pods that a restricted namespace takes, and artifacts in the store."""
        values: dict[str, Any] = {
            "artifactRepository": {"s3": {"bucket": PLACE.bucket, **PLACE.access()}},
            "workflowDefaults": {
                "spec": {
                    # one user: who fetches an artifact leaves it to itself alone
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 8737,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "podGC": {"strategy": "OnWorkflowCompletion"},
                }
            },
            "mainContainer": {"imagePullPolicy": "IfNotPresent", "securityContext": _RESTRICTED},
            "executor": {"securityContext": _RESTRICTED},
            **config,
        }
        if not agents:
            values["disableAgentPodCreation"] = True
        data = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        meta = {"name": CONFIG, "namespace": NAMESPACE}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}

    def _kubeconfig(self) -> Path:
        """Write a kubeconfig with a token of the controller's ServiceAccount, for commands inside."""
        token = self._cluster.kubectl("-n", NAMESPACE, "create", "token", ACCOUNT, "--duration=24h").stdout.strip()
        authority = base64.b64encode((self._cluster.root / "pki" / "ca.crt").read_bytes()).decode()
        named = {"cluster": "realkube", "user": ACCOUNT, "namespace": NAMESPACE}
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "realkube",
            "contexts": [{"name": "realkube", "context": named}],
            "clusters": [{"name": "realkube", "cluster": {"server": SERVER, "certificate-authority-data": authority}}],
            "users": [{"name": ACCOUNT, "user": {"token": token}}],
        }
        target = self._cluster.root / "argo.kubeconfig"
        target.write_text(yaml.safe_dump(text))
        target.chmod(0o600)
        return target


def _in_namespace(role: dict[str, Any]) -> dict[str, Any]:
    """Return a role or binding as kustomize would put it into the controller's namespace."""
    subjects = [{**subject, "namespace": NAMESPACE} for subject in role.get("subjects") or ()]
    meta = role["metadata"] if role["kind"].startswith("Cluster") else {**role["metadata"], "namespace": NAMESPACE}
    return {**role, "metadata": meta, **({"subjects": subjects} if subjects else {})}


def _memoizer() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the right to keep caches of memoized steps, which an administrator adds to the release's roles."""
    api, meta = "rbac.authorization.k8s.io", {"name": "argo-memoizer"}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "update"]}
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": [rule]}
    reference = {"apiGroup": api, "kind": "Role", "name": meta["name"]}
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT}]
    head = {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": meta}
    return role, {**head, "roleRef": reference, "subjects": subjects}


def keys_secret() -> dict[str, Any]:
    """Return the Secret with the store's keys, which every namespace of workflows needs."""
    data = {"accessKey": PLACE.access_key, "secretKey": PLACE.secret_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS_SECRET}, "stringData": data}
