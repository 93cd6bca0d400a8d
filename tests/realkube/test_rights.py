# SPDX-License-Identifier: Apache-2.0
"""What a real API server's audit log says of our accounts, against the Roles that are installed.

It runs last, so that it sees what all other tests made the operators do; what it says holds for the whole log. Those of
Argo's folder make the ``taskset`` operator do something.
tests/rights holds the other direction: that every right is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.cluster import Cluster
from realkube.machine import Say
from realkube.release import NAMESPACE, REPOSITORY
from realkube.rights import Asked, Grant, asked, grants_of, hook_roles, missing, unused

INSTALLED = ("chain", "dataflow", "scheduler", "node")
OPTIONAL = ("taskset",)
HOOKS = ("uninstall",)
ACCOUNTS = INSTALLED + OPTIONAL + HOOKS


def of_the_chart(chart: Path, rendered: Path) -> dict[str, set[Grant]]:
    """Return by account what the chart grants it, those that values turn on included, which are not rendered."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects: list[dict[str, Any]] = [obj for obj in yaml.load_all(rendered.read_text(), Loader=loader) if obj]
    table = yaml.safe_load((chart / "rights.yaml").read_text())
    optional = {
        name: {"cluster": [*of["cluster"], *of["namespaced"]], "own": of["own"]}
        for name, of in table["optional"].items()
    }
    objects += hook_roles({"hooks": table["hooks"] | optional}, NAMESPACE)
    return {name: grants_of(objects, NAMESPACE, f"accelchain-{name}") for name in ACCOUNTS}


def requests_of(cluster: Cluster, account: str) -> Iterator[Asked]:
    """Yield what an account asked the API for.

    Requests that were refused are among them: one that a Role allows was refused by admission, or by an API server that
    had just begun and knew no Roles yet; any other one shows a right that is missing.
    """
    user = f"system:serviceaccount:{NAMESPACE}:accelchain-{account}"
    for one in cluster.audit():
        if one.user == user and one.resource:
            code = 200 if one.code == 403 else one.code
            yield from asked(one.verb, one.group, one.resource, one.subresource, one.namespace, None, code)


@pytest.mark.finale
def test_no_account_asks_for_what_its_roles_do_not_allow(cluster: Cluster, say: Say) -> None:
    manifests = REPOSITORY / "manifests"
    granted = of_the_chart(manifests / "charts" / "accelchain", manifests / "install.yaml")
    needs = {name: set(requests_of(cluster, name)) for name in ACCOUNTS}
    if not any(needs.values()):
        pytest.skip("accelchain was not installed in this cluster: no account of its asked for anything")
    for name, requests in needs.items():
        assert granted[name], name
        if requests:
            shown = sorted(map(str, unused(granted[name], requests)))
            say(f"rights of {name} that these tests did not use: {', '.join(shown) or 'none'}")
    assert {name: sorted(missing(granted[name], requests)) for name, requests in needs.items()} == {
        name: [] for name in ACCOUNTS
    }
