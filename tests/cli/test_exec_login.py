# SPDX-License-Identifier: Apache-2.0
"""Logging in by a program: what it is told, when it is asked again, and what is said when it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from accelchain_operators.kube.exec_login import ExecLogin
from accelchain_operators.kube.kubeconfig import ConfigError

V1 = "client.authentication.k8s.io/v1"
CLUSTER = {"server": "https://a", "certificate-authority": "/ca"}


@pytest.fixture
def login(tmp_path):
    """Make a login by a program with this code; it counts its calls in ``calls``."""

    def make(code: str, **entry: Any) -> ExecLogin:
        count = f"open({str(tmp_path / 'calls')!r}, 'a').write('x')"
        entry = {"apiVersion": V1, "command": sys.executable, "args": ["-c", f"{count}\n{code}"], **entry}
        return ExecLogin.of(entry, "jane", CLUSTER)

    return make


def printing(**status: Any) -> str:
    return f"print({json.dumps(json.dumps({'apiVersion': V1, 'kind': 'ExecCredential', 'status': status}))})"


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text())


def test_what_it_prints_is_used_until_it_expires(login, tmp_path):
    found = login(printing(token="t", expirationTimestamp="2026-01-01T00:01:00Z"))
    now = 1767225600.0  # 2026-01-01T00:00:00Z
    found.clock = lambda: now
    assert found.credentials().token == "t" and found.credentials().token == "t"
    assert calls(tmp_path) == 1
    now += 45  # not yet over, but requests under way would outlive it
    found.credentials()
    assert calls(tmp_path) == 2


TELLING = f"""
import json, os
spec = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"]
print(json.dumps({{"apiVersion": "{V1}", "status": {{"token": f"{{sorted(spec)}} {{os.environ['X']}}"}}}}))
"""


def test_it_is_told_of_the_cluster_only_if_it_asks(login):
    environment = [{"name": "X", "value": "x"}]
    assert login(TELLING, env=environment).credentials().token == "['interactive'] x"
    told = login(TELLING, env=environment, provideClusterInfo=True)
    assert told.credentials().token == "['cluster', 'interactive'] x"
    assert told.cluster == {"server": "https://a"}, "files of this machine tell the program nothing"


FAILURES = [
    ("import sys; sys.exit('you are logged out')", {}, "ended with 1: you are logged out"),
    ("print('hello')", {}, "no ExecCredential"),
    (printing(), {}, "neither a token nor a certificate"),
    (printing(clientCertificateData="c"), {}, "neither a token nor a certificate"),
    (printing(token="t", expirationTimestamp="soon"), {}, "no time: soon"),
    (printing(token="t").replace("k8s.io/v1", "k8s.io/v2"), {}, "v2; client.authentication.k8s.io/v1 is wanted"),
    ("", {"command": "no-such-login", "installHint": "get it from us"}, "is not installed: get it from us"),
]


@pytest.mark.parametrize(("code", "entry", "words"), FAILURES)
def test_a_failure_is_one_sentence(login, code, entry, words):
    with pytest.raises(ConfigError) as error:
        login(code, **entry).credentials()
    assert words in str(error.value) and str(error.value).startswith("user jane: ") and "\n" not in str(error.value)


def test_a_program_that_hangs_is_ended(login):
    found = login("import time; time.sleep(60)")
    found.deadline = 0.3
    with pytest.raises(ConfigError, match="had not ended after"):
        found.credentials()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1 is not supported"),
        ({"interactiveMode": "Perhaps"}, "interactiveMode Perhaps is none of"),
        ({"command": ""}, "exec has no command"),
    ],
)
def test_an_entry_that_is_wrong(login, entry, words):
    with pytest.raises(ConfigError, match=words):
        login("", **entry)


def test_one_that_must_ask_needs_a_terminal(login):
    with pytest.raises(ConfigError, match="there is no terminal"):
        login(printing(token="t"), interactiveMode="Always").credentials()
