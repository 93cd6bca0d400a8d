# SPDX-License-Identifier: Apache-2.0
"""What a cluster needs of the machine: rights, namespaces, Debian packages, and the control plane built by Go."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from realkube.errors import ClusterError, RefusedError

Say = Callable[[str], None]

KUBECTL = Path(sys.executable).parent / "kubectl"  # of the wheel
CNI_PLUGINS = Path("/usr/lib/cni")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KUBERNETES = "v1.36.3"
_SOURCES = Path(__file__).parents[1] / "control-plane"
_PROGRAMS = ("kube", "gateway", "pause")
_PACKAGES = {  # Debian's package: what we run of it
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": str(CNI_PLUGINS / "ptp"),
    "iptables": "iptables",
    "conntrack": "conntrack",
    "busybox-static": "busybox",
    "iproute2": "ip",
}
_NETWORK_TROUBLE = re.compile(
    r"dial tcp|no such host|connection refused|i/o timeout|TLS handshake|module lookup disabled"
)
_BUILD_SECONDS = 1800
_PROGRESS_SECONDS = 20


def namespaces() -> list[str]:
    """Return the command that runs another one in namespaces of its own; the end of its starter ends it."""
    spaces = ["--net", "--mount", "--pid", "--ipc", "--uts"]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "--fork", "--kill-child", "--mount-proc"]


def check() -> None:
    """RefusedError where the machine cannot run clusters at all."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RefusedError("realkube needs root on Linux: kubelet, containerd and namespaces.")
    for command in ("setpriv", "unshare", "nsenter"):
        if find(command) is None:
            raise RefusedError(f"realkube needs {command} of util-linux, which is not installed.")
    if not KUBECTL.exists():
        raise RefusedError(
            f"realkube needs kubectl, which belongs to the development requirements: {KUBECTL} is not there."
        )
    done = subprocess.run([*namespaces(), "true"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RefusedError(f"realkube needs namespaces of its own, and this machine refuses: {done.stderr.strip()}.")


def find(command: str) -> Path | None:
    """Return where a command lies, which may be outside the PATH of a user."""
    found = shutil.which(command, path=SEARCH_PATH)
    return Path(found) if found else None


def install_packages(say: Say) -> None:
    """Install the Debian packages that are missing."""
    missing = [package for package, command in _PACKAGES.items() if find(command) is None]
    if not missing:
        return
    apt = find("apt-get")
    if apt is None:
        raise RefusedError(f"realkube needs {', '.join(missing)}, and there is no apt-get to install them.")
    say(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]):
        done = subprocess.run(
            [apt, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RefusedError(f"realkube needs {', '.join(missing)}, and apt-get {arguments[0]} failed: {last}")


def programs(say: Say) -> Path:
    """Return the folder with the control plane's programs; they are built where the cache does not hold them.

    The cache is keyed by the sources and Go's version. A build takes 4 to 9 minutes on 2 cores with cold caches of Go,
    20 s with warm ones.
    """
    go = shutil.which("go")
    if go is None:
        raise RefusedError("realkube needs Go on the PATH: it builds Kubernetes from Go modules.")
    version = subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=True, cwd="/").stdout
    digest = hashlib.sha256(version.encode())
    for source in sorted(path for path in _SOURCES.rglob("*") if path.is_file()):
        digest.update(f"{source.relative_to(_SOURCES)}\0".encode() + source.read_bytes() + b"\0")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accelchain" / "realkube"
    target = cache / digest.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return target
    with open(cache / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = cache / "building"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a build that failed or was killed
            unfinished.mkdir()
            _build(go, unfinished, say)
            unfinished.rename(target)
    return target


def _build(go: str, folder: Path, say: Say) -> None:
    package = "k8s.io/component-base/version"
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}  # without them the server says v0.0.0
    flags = " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in stamps.items())])
    command = [
        *("setpriv", "--pdeathsig", "KILL", go),  # it ends with us
        "build",
        "-v",
        "-trimpath",
        "-ldflags",
        flags,
        "-o",
        f"{folder}/",
        *(f"./{name}" for name in _PROGRAMS),
    ]
    say(f"building Kubernetes {KUBERNETES} (4 to 9 minutes with cold caches)")
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=_SOURCES,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lines.extend, args=(process.stderr,))
    reader.start()
    try:
        while True:
            try:
                process.wait(_PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - started
                if elapsed > _BUILD_SECONDS:
                    raise ClusterError(f"building Kubernetes took more than {_BUILD_SECONDS} s.") from None
                say(f"building Kubernetes: {elapsed:.0f} s, {len(lines)} packages")
    finally:
        process.kill()
        process.wait()
        reader.join()
    if process.returncode:
        trouble = next((line.strip() for line in lines if _NETWORK_TROUBLE.search(line)), "")
        if trouble:
            raise RefusedError(f"realkube could not download the Go modules of Kubernetes: {trouble}")
        raise ClusterError("building Kubernetes failed:\n" + "".join(lines[-20:]))
