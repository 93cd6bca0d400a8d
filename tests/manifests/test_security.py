# SPDX-License-Identifier: Apache-2.0
"""Every Pod of ours keeps the restricted Pod Security Standard; the one exception has a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
FPGA = {
    "name": "fpga",
    "nodeLabel": {"key": "example.com/fpga", "value": "true"},
    "supplementalGroups": [44],
    "hostPaths": [{"name": "xrt", "path": "/opt/xilinx", "readOnly": True}],
}


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what the restricted standard (kubernetes.io, Pod Security Standards) does not allow."""
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    for volume in pod.get("volumes", ()):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES)
    context = pod.get("securityContext", {})
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = container.get("securityContext", {})
        both = {**context, **own}
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            yield "privilege escalation"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield "root"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "no seccomp profile"
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield "capabilities"
        yield from ("host port" for port in container.get("ports", ()) if port.get("hostPort"))


def test_pods_are_restricted(installed: Any) -> None:
    pods = installed.pods()
    assert len(pods) == 4
    assert {name: [*violations(pod)] for name, pod in pods.items()} == {name: [] for name in pods}


def test_the_pod_of_the_uninstallation_is_restricted_too(hooks: Any) -> None:
    assert {name: [*violations(pod)] for name, pod in hooks({}).pods().items()} == {"accelchain-uninstall": []}


@pytest.mark.parametrize("values", [{}, {"nodeAgent": {"pools": [FPGA]}}], ids=["default", "fpga"])
def test_pods_can_write_to_tmp_alone_and_have_limits(render: Any, values: dict[str, Any]) -> None:
    for pod in render(values).pods().values():
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 65532
        assert pod["enableServiceLinks"] is False
        assert pod["terminationGracePeriodSeconds"] > 0
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")] == ["/tmp"]
            assert "memory" in container["resources"]["limits"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_an_fpga_pool_is_the_only_exception_and_never_privileged(render: Any) -> None:
    pods = render({"nodeAgent": {"pools": [FPGA]}}).pods()
    assert {name: [*violations(pod)] for name, pod in pods.items() if [*violations(pod)]} == {
        "accelchain-node-fpga": ["volume hostPath"]
    }
    assert pods["accelchain-node-fpga"]["securityContext"]["supplementalGroups"] == [44]


def test_tokens_are_mounted_where_they_are_used_alone(installed: Any) -> None:
    assert all(account["automountServiceAccountToken"] is False for account in installed.of("ServiceAccount"))
    assert all(pod["automountServiceAccountToken"] is True for pod in installed.pods().values())


def test_nothing_of_ours_holds_a_secret(installed: Any) -> None:
    assert installed.of("Secret") == []
