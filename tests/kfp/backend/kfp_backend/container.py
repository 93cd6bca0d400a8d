# SPDX-License-Identifier: Apache-2.0
"""One attempt of one container: launcher-v2 around a process of this machine (component/launcher_v2.go)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kfp_backend import sandbox
from kfp_backend.placeholders import by_kubelet, by_launcher
from kfp_backend.store import S3Store, is_folder
from kfp_backend.values import BackendError, Value, from_text

LOGS = "executor-logs"
_SECONDS = 120.0
"""How long a container may run."""
_KILL_SECONDS = 1.0
"""After SIGTERM to its group: launcher-v2 dies at once, and the container within a second."""


@dataclass
class Pod:
    """A pod's own folder, environment and process."""

    name: str
    uid: str
    folder: Path
    environment: dict[str, str]
    shared: tuple[Path, ...] = ()
    is_confined: bool = True
    """In a mount namespace, so that paths are the cluster's; else the pod's folder stands before them."""
    process: subprocess.Popen[bytes] | None = None
    log: str = ""
    started: float = 0.0
    """When its process was started: time.monotonic()."""
    is_terminated: bool = False
    is_lost: bool = False
    """The whole pod went at once: nothing is published."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def inside(self, path: str) -> str:
        """Return a path of the cluster as the process sees it."""
        return path if self.is_confined else f"{self.folder}{path}"

    def outside(self, path: str) -> Path:
        """Return where that path is on this machine."""
        if not self.is_confined or any(Path(path).is_relative_to(each) for each in self.shared):
            return Path(path)
        return Path(f"{self.folder}{path}") if path.split("/")[1] in sandbox.OWN else Path(path)

    def local_path(self, artifact: Mapping[str, Any]) -> str | None:
        """component/launcher_v2.go:retrieveArtifactPath; a folder is its own path, which is ours alone."""
        if custom := artifact.get("customPath"):
            return str(custom)
        uri = str(artifact.get("uri", ""))
        if is_folder(uri):
            return uri
        scheme, _, rest = uri.partition("://")
        return (
            self.inside(f"/{ {'gs': 'gcs'}.get(scheme, scheme) }/{rest}") if scheme in ("gs", "s3", "minio") else None
        )

    def run(self, command: Sequence[str], log: Path | None) -> int:
        """Run the user's command; return its exit code. Output goes to the log, and to the logs' artifact."""
        expanded = by_kubelet(command, self.environment)
        bare = without_pip(expanded)
        whole = sandbox.wrap(bare, self.folder, self.shared) if self.is_confined else bare
        with self._lock:
            if self.is_terminated:
                return 143
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                whole,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        timer = threading.Timer(_SECONDS, self.kill)
        timer.start()
        try:
            assert self.process.stdout is not None
            with (log or Path(os.devnull)).open("wb") as target:
                for line in self.process.stdout:
                    self.log += line.decode(errors="replace")
                    target.write(line)
            return self.process.wait()
        finally:
            timer.cancel()
            self.kill()  # what it left behind ends with the container

    def terminate(self) -> None:
        """SIGTERM to the process group, as argoexec forwards it; what is left a second later goes with the pod."""
        with self._lock:
            self.is_terminated = self.is_lost = True
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_KILL_SECONDS)
        self.kill()

    def lose(self) -> None:
        """Kill everything in the pod, launcher-v2 included."""
        self.is_lost = True
        self.kill()

    def kill(self) -> None:
        """End the container at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def without_pip(command: Sequence[str]) -> list[str]:
    """Leave out the start of a lightweight component that installs kfp: this environment is its image."""
    is_bootstrap = len(command) > 3 and command[:2] == ["sh", "-c"] and "pip install" in command[2]
    return list(command[3:]) if is_bootstrap and '"$0" "$@"' in command[2] else list(command)


@dataclass(frozen=True)
class Result:
    """What launcher-v2 publishes of an attempt."""

    is_good: bool
    message: str = ""
    parameters: dict[str, Value] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Runtime artifacts by the name of the output."""


def execute(
    pod: Pod,
    command: Sequence[str],
    executor_input: dict[str, Any],
    component: Mapping[str, Any],
    store: S3Store | None,
    retry: int | None,
) -> Result:
    """component/launcher_v2.go:Execute."""
    outputs = executor_input["outputs"]
    qualify_logs(outputs["artifacts"], 0 if retry is None else retry)
    try:
        command_line = by_launcher(command, with_defaults(executor_input, component), pod.local_path)
        download(pod, executor_input, store)
        prepare(pod, outputs)
        log = outputs["artifacts"].get(LOGS)
        log_path = pod.local_path(log["artifacts"][0]) if log else None
        code = pod.run(command_line, pod.outside(log_path) if log_path else None)
        if code != 0:
            upload(pod, outputs["artifacts"], {}, store, only=LOGS)
            return Result(False, f"exit status {code}: {pod.log.strip()[-2000:]}")
        written = executor_output(pod.outside(outputs["outputFile"]))
        parameters = collect(pod, outputs, written, component)
        return Result(True, "", parameters, upload(pod, outputs["artifacts"], written, store))
    except BackendError as error:
        return Result(False, str(error))


def qualify_logs(artifacts: dict[str, Any], retry: int) -> None:
    """component/launcher_v2.go:qualifyExecutorLogsForRetry."""
    if LOGS in artifacts:
        artifact = artifacts[LOGS]["artifacts"][0]
        artifact["uri"] = f"{artifact['uri'].removesuffix(f'-{retry}')}-{retry}"


def with_defaults(executor_input: Mapping[str, Any], component: Mapping[str, Any]) -> dict[str, Any]:
    """component/launcher_v2.go:addDefaultParams."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    defaults = {name: each["defaultValue"] for name, each in declared.items() if "defaultValue" in each}
    inputs = executor_input["inputs"]
    values = {**defaults, **inputs.get("parameterValues", {})}
    return {**executor_input, "inputs": {**inputs, "parameterValues": values}}


def download(pod: Pod, executor_input: Mapping[str, Any], store: S3Store | None) -> None:
    """component/launcher_v2.go:downloadArtifacts: every input, whatever its size."""
    for name, listed in executor_input["inputs"].get("artifacts", {}).items():
        for artifact in listed["artifacts"]:
            local = pod.local_path(artifact)
            if local is None:
                raise BackendError(
                    f"failed to fetch non default buckets: unsupported uri of {name!r}: {artifact['uri']}"
                )
            if not is_folder(artifact["uri"]):
                assert store is not None, "the artifact is in a store"
                store.download(artifact["uri"], pod.outside(local))


def prepare(pod: Pod, outputs: Mapping[str, Any]) -> None:
    """component/launcher_v2.go:prepareOutputFolders: those of parameters and artifacts."""
    paths = [output["outputFile"] for output in outputs["parameters"].values()]
    for name, listed in outputs["artifacts"].items():
        for artifact in listed["artifacts"]:
            if (local := pod.local_path(artifact)) is None:
                raise BackendError(f"failed to generate local storage path for output artifact {name!r}")
            paths.append(local)
    for path in paths:
        pod.outside(path).parent.mkdir(parents=True, exist_ok=True)


def executor_output(path: Path) -> dict[str, Any]:
    """component/launcher_v2.go:getExecutorOutputFile. Raises BackendError where it is no ExecutorOutput."""
    if not path.exists():
        return {}
    try:
        message = json_format.Parse(path.read_text(), pb.ExecutorOutput())
    except json_format.ParseError as error:
        raise BackendError(f"failed to unmarshall ExecutorOutput in file {path.name!r}: {error}") from None
    found = json_format.MessageToDict(message)
    assert isinstance(found, dict)
    return found


def collect(
    pod: Pod, outputs: Mapping[str, Any], written: Mapping[str, Any], component: Mapping[str, Any]
) -> dict[str, Value]:
    """component/launcher_v2.go:collectOutputParameters."""
    found = dict(written.get("parameterValues", {}))
    declared = component.get("outputDefinitions", {}).get("parameters", {})
    for name, output in outputs["parameters"].items():
        if name in found:
            continue
        kind = declared[name]["parameterType"]
        try:
            found[name] = from_text(pod.outside(output["outputFile"]).read_text(), kind)
        except OSError as error:
            raise BackendError(f"failed to read output parameter name={name!r} type={kind!r}: {error}") from None
    return found


def upload(
    pod: Pod, artifacts: Mapping[str, Any], written: Mapping[str, Any], store: S3Store | None, only: str = ""
) -> dict[str, dict[str, Any]]:
    """component/launcher_v2.go:uploadOutputArtifacts: what was written is merged, what isn't there is no error."""
    found: dict[str, dict[str, Any]] = {}
    for name, listed in artifacts.items():
        if only and name != only:
            continue
        for artifact in listed["artifacts"]:
            theirs = written.get("artifacts", {}).get(name, {}).get("artifacts", [])
            if theirs and name != LOGS:
                merge(theirs[0], artifact)
            local = pod.local_path(artifact)
            is_there = local is not None and pod.outside(local).exists()
            if name == LOGS and not is_there:
                continue
            if is_there and not is_folder(artifact["uri"]):
                assert store is not None and local is not None
                store.upload(pod.outside(local), artifact["uri"])
            found[name] = artifact
    return found


def merge(source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """component/launcher_v2.go:mergeRuntimeArtifacts."""
    if source.get("uri"):
        target["uri"] = source["uri"]
    if "metadata" in source:
        target["metadata"] = {**target.get("metadata", {}), **source["metadata"]}
    if source.get("customPath"):
        target["customPath"] = source["customPath"]


def base_environment() -> dict[str, str]:
    """Return what the image sets: this Python first, and this repository's packages."""
    roots = os.pathsep.join(str(sandbox.REPOSITORY / root) for root in ("plugin", "operators", "runtime"))
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    )
    return {"PATH": path, "HOME": "/tmp", "PYTHONPATH": roots, "LANG": "C.UTF-8", "PYTHONFAULTHANDLER": "1"}
