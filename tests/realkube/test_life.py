# SPDX-License-Identifier: Apache-2.0
"""A cluster leaves nothing behind however it ends, and says why it cannot start; nodes come, freeze and go."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from realkube.cluster import Cluster
from realkube.errors import ClusterError, RefusedError
from realkube.machine import Say
from realkube.plane import Options

from realkube import keeper, machine, plane

STARTER = """
import sys
from pathlib import Path
from realkube.cluster import Cluster
Cluster.start(Path(sys.argv[1]))
print("runs", flush=True)
sys.stdin.read()
"""
Until = Callable[..., None]


@pytest.fixture
def root(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to be, short enough for unix sockets; the session's cluster shows that the machine allows one."""
    return Path("/tmp") / f"rk-{os.getpid()}-{tmp_path_factory.mktemp('x').name}"


@pytest.fixture(scope="module")
def two(cluster: Cluster, say: Say) -> Iterator[Cluster]:
    """A cluster of two nodes that notices a silent one soon."""
    with Cluster.start(options=Options(node_grace=10, node_lease=4, toleration=5), say=say) as running:
        running.add_node()
        yield running


def processes(root: Path) -> list[str]:
    """Return the command lines that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            line = path.read_bytes().replace(b"\0", b" ").decode()
            if str(root) in line and path.parent.name != str(os.getpid()):
                found.append(line)
    return found


def control_groups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").glob("*/realkube-*")}


def machine_state() -> dict[str, str]:
    """Return what a cluster might change of the machine, other clusters' own things left out."""
    sysctls = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"]
    commands = {name: [name] for name in ("iptables-save", "ip6tables-save")} | {"links": ["ip", "-oneline", "link"]}
    commands |= {"namespaces": ["ip", "netns"], "routes": ["ip", "route"]}
    printed = {
        name: subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        for name, command in commands.items()
    }
    rules = {name: "\n".join(row for row in text.splitlines() if row[:1] not in "#:") for name, text in printed.items()}
    folders = ("/opt", "/var/lib", "/var/log", "/run/containerd", "/var/lib/cni", "/etc/cni", "/var/lib/kubelet")
    return {
        **rules,
        "mounts": Path("/proc/self/mountinfo").read_text(),
        **{name: (Path("/proc/sys") / name).read_text() for name in sysctls},
        **{name: str(sorted(os.listdir(name)) if Path(name).exists() else None) for name in folders},
    }


def name_of(root: Path) -> str:
    """Return the name of the cluster at a folder."""
    found = [path.name for path in keeper.RECORDS.glob(f"{keeper.PREFIX}*") if f'"{root}"' in path.read_text()]
    assert len(found) == 1
    return found[0]


def assert_nothing_left(root: Path, name: str, before: dict[str, str]) -> None:
    assert not root.exists()
    assert processes(root) == []
    assert not (keeper.RECORDS / name).exists()
    assert not [path for path in control_groups() if path.endswith(name)]
    assert machine_state() == before


def test_a_stopped_cluster_leaves_nothing(root: Path, say: Say) -> None:
    before = machine_state()
    cluster = Cluster.start(root, say=say)
    name = name_of(root)
    assert len(processes(root)) > 6
    assert [path for path in control_groups() if path.endswith(name)]
    cluster.stop()
    assert_nothing_left(root, name, before)


def test_a_killed_owner_leaves_nothing(root: Path, wait_until: Until) -> None:
    before = machine_state()
    with started_elsewhere(root) as owner:
        name = name_of(root)
        owner.kill()
    wait_until(lambda: not (keeper.RECORDS / name).exists() and not processes(root), 20, "the end of the cluster")
    assert_nothing_left(root, name, before)


def test_what_a_killed_keeper_leaves_is_cleaned_by_the_next_start(root: Path, wait_until: Until) -> None:
    before = machine_state()
    with started_elsewhere(root):
        name = name_of(root)
        (pid,) = (
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"realkube.keeper\0{name}".encode() in path.read_bytes()
        )
        os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: not [line for line in processes(root) if "kube" in line and STARTER not in line], 20, "the end"
        )
        assert [path for path in control_groups() if path.endswith(name)]
        keeper.clean_leftovers()
    assert_nothing_left(root, name, before)


@contextlib.contextmanager
def started_elsewhere(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a cluster that another process owns."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, root],
        env={**os.environ, "PYTHONPATH": str(Path(keeper.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readlines(1)[-1] == "runs\n"
            yield process
        finally:
            process.kill()


def test_a_failed_start_tells_its_log_and_leaves_nothing(root: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine_state()
    monkeypatch.setattr(plane, "etcd", lambda *_: ["sh", "-c", "echo no space; exit 3"])
    with pytest.raises(ClusterError, match=r"etcd ended with code 3\.\n--- etcd\.log:\nno space"):
        Cluster.start(root, say=say)
    assert_nothing_left(root, "none", before)


@pytest.mark.parametrize(
    ("wrapper", "reason"),
    [
        (
            ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"],
            "needs namespaces of its own, and this machine",
        ),
        (["unshare", "--mount", "sh", "-c", 'umount -R /sys/fs/cgroup; exec "$@"', "sh"], "needs control groups"),
        (["setpriv", "--reuid=65534", "--clear-groups"], "needs root"),
        (["env", "PATH=/usr/bin:/bin"], "needs Go"),
    ],
)
def test_a_machine_that_refuses_is_told_in_one_sentence(root: Path, wrapper: list[str], reason: str) -> None:
    script = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [*wrapper, sys.executable, script, "--root", root, "up"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not root.exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, say: Say) -> None:
    folder = Path("/tmp") / f"rk-{os.getpid()}-held"
    folder.mkdir()
    (folder / "file").write_text("mine")
    try:
        with pytest.raises(RefusedError, match="must be empty"):
            Cluster.start(folder, say=say)
        assert (folder / "file").read_text() == "mine"
    finally:
        (folder / "file").unlink()
        folder.rmdir()


def test_pods_of_two_nodes_reach_each_other(two: Cluster) -> None:
    assert two.nodes == ["n1", "n2"]
    for node in two.nodes:
        on = ["--overrides", f'{{"spec": {{"nodeName": "{node}"}}}}']
        command = ["--command", "--", "sh", "-c", "exec httpd -f -p 8080 -h /etc"]
        two.kubectl("run", f"on-{node}", "--image=localhost/busybox:1", *on, *command)
    two.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s", timeout=70)
    address = two.kubectl("get", "pod", "on-n2", "-o", "jsonpath={.status.podIP}").stdout
    fetch = f"printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 8080"
    assert two.kubectl("exec", "on-n1", "--", "sh", "-c", fetch).stdout.endswith("\non-n2\n")


def test_a_frozen_node_is_lost_and_comes_back(two: Cluster, wait_until: Until) -> None:
    folder = two.volume("default", "count")
    script = "n=0; while :; do n=$((n+1)); echo $n >/count/n; usleep 20000; done"
    container: dict[str, object] = {"name": "counter", "image": "localhost/busybox:1", "command": ["sh", "-c", script]}
    container["volumeMounts"] = [{"name": "count", "mountPath": "/count"}]
    volume = {"name": "count", "persistentVolumeClaim": {"claimName": "count"}}
    spec = {"nodeName": "n2", "terminationGracePeriodSeconds": 1, "volumes": [volume], "containers": [container]}
    two.kubectl("run", "counter", "--image=localhost/busybox:1", "--overrides", json.dumps({"spec": spec}))
    counted = folder / "n"
    wait_until(lambda: counted.exists() and counted.read_text().strip().isdigit(), 30, "the counter")
    two.freeze("n2")
    stopped = counted.read_text()

    def node_is(ready: str) -> bool:
        condition = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        return two.kubectl("get", "node", "n2", "-o", condition).stdout == ready

    def pod(path: str) -> str:
        return two.kubectl("get", "pod", "counter", "--ignore-not-found", "-o", f"jsonpath={path}").stdout

    wait_until(lambda: node_is("Unknown"), 40, "the node's loss")
    wait_until(lambda: pod("{.metadata.deletionTimestamp}"), 40, "the eviction of its pod")
    assert counted.read_text() == stopped
    two.thaw("n2")
    wait_until(lambda: node_is("True"), 40, "the node's return")
    wait_until(lambda: not pod("{.metadata.name}"), 40, "the end of its pod")


def test_parts_are_killed_and_started_again(two: Cluster) -> None:
    two.kill_part("kube-apiserver")
    assert two.kubectl("get", "--raw", "/readyz", check=False).returncode == 1
    two.start_part("kube-apiserver")
    two.kubectl("get", "nodes")


def test_a_removed_node_is_gone_even_when_frozen(two: Cluster) -> None:
    name = two.add_node()
    two.freeze(name)
    two.remove_node(name)
    assert name not in two.nodes
    assert name not in two.kubectl("get", "nodes", "-o", "name").stdout
    assert not [line for line in processes(two.root) if f"/nodes/{name}/" in line]


def test_the_programs_are_built_once(monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    folder = machine.programs(say)
    monkeypatch.setattr(machine, "_build", lambda *_: pytest.fail("it is in the cache"))
    assert machine.programs(say) == folder
