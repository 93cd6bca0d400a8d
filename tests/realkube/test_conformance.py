# SPDX-License-Identifier: Apache-2.0
"""One suite, two servers: the conformance tests of the embedded API hold for a real API server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from realkube.cluster import Cluster

TESTS = Path(__file__).parents[1] / "localkube" / "conformance"


@pytest.fixture
def administrator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig whose user logs in by a token, as the suite does, and may do everything."""
    account = f"--serviceaccount={namespace}:suite"
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "suite")
    cluster.kubectl("create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", account)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl("-n", namespace, "create", "token", "suite", "--duration=1h").stdout.strip()
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    cluster.kubectl("delete", "clusterrolebinding", namespace)


@pytest.mark.timeout(900, func_only=True)
def test_the_real_server_passes_the_suite(administrator: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", str(TESTS)]
    environment = {"PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin", "HOME": str(tmp_path)}
    environment["ACCELCHAIN_TEST_KUBECONFIG"] = str(administrator)
    done = subprocess.run(
        command, cwd=TESTS.parents[2], env=environment, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
