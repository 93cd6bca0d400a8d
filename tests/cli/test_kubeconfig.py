# SPDX-License-Identifier: Apache-2.0
"""Kubeconfigs as kubectl takes them, and one sentence for each that can't be used."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.kubeconfig import user_kubeconfigs


def config(server: str = "https://a:6443", name: str = "a", **parts: Any) -> dict[str, Any]:
    cluster, user, context = (parts.get(part, {}) for part in ("cluster", "user", "context"))
    return {
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
    }


@pytest.fixture
def write(tmp_path):
    def write(document: object, name: str = "config") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        return path

    return write


def test_the_current_context_with_its_namespace_and_token(write):
    path = write(config(user={"token": "t"}, context={"namespace": "team"}, cluster={"tls-server-name": "api"}))
    found = Connection.from_kubeconfig(path)
    assert (found.server, found.current_token(), found.namespace) == ("https://a:6443", "t", "team")
    assert (found.tls_server_name, found.user) == ("api", "a")


def test_several_files_make_one_and_the_first_wins(write, tmp_path):
    first = config("https://first:1", "both", user={"token": "first"})
    second = config("https://second:2", "both", user={"token": "second"})
    second["contexts"].append({"name": "other", "context": {"cluster": "both", "user": "both", "namespace": "n"}})
    paths = [write(first, "1"), tmp_path / "missing", write(second, "2")]
    assert Connection.from_kubeconfig(paths).current_token() == "first"
    assert Connection.from_kubeconfig(paths, "other").namespace == "n"


def test_which_files_a_user_has(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_kubeconfigs({"KUBECONFIG": "/a::/b:/a"}) == [Path("/a"), Path("/b")]
    assert user_kubeconfigs({}) == [tmp_path / ".kube" / "config"]


def test_paths_count_from_the_file_that_holds_them(write):
    write("secret\n", "keys/token")
    write("authority", "keys/ca")
    user, cluster = {"tokenFile": "token"}, {"certificate-authority": "ca"}
    found = Connection.from_kubeconfig(write(config(user=user, cluster=cluster), "keys/config"))
    assert (found.current_token(), found.ca) == ("secret", "authority")


def test_a_token_file_is_read_again_and_goes_before_a_token(write):
    token = write("old", "token")
    found = Connection.from_kubeconfig(write(config(user={"token": "t", "tokenFile": "token"})))
    assert found.current_token() == "old"
    token.write_text("new\n")
    assert found.current_token() == "new" and found.headers() == {"Authorization": "Bearer new"}
    token.unlink()
    with pytest.raises(ConfigError, match="token's file"):
        found.current_token()


def test_a_server_that_need_not_be_trusted(write):
    context = Connection.from_kubeconfig(write(config(cluster={"insecure-skip-tls-verify": True}))).ssl_context()
    assert context is not None and context.verify_mode is ssl.CERT_NONE


DATA = base64.b64encode(b"x").decode()
REFUSED: list[tuple[object, str | None, str]] = [
    (config(), "b", "no context 'b'"),
    ({**config(), "contexts": [{"name": "prod", "context": {"cluster": "a"}}]}, "prud", "did you mean prod?"),
    ({**config(), "current-context": ""}, None, "current-context is not set: name a context with --context"),
    ({**config(), "clusters": []}, None, "no cluster 'a', which context a names"),
    ({**config(), "users": []}, None, "no user 'a', which context a names"),
    ({**config(), "clusters": "a"}, None, "clusters is no list"),
    (config(""), None, "cluster a has no server"),
    ("[1", None, "this is no YAML"),
    ("hello", None, "this is no kubeconfig"),
    (config(cluster={"certificate-authority-data": "?"}), None, "cluster a: certificate-authority is no PEM"),
    (config(cluster={"certificate-authority": "no"}), None, "No such file"),
    (config(user={"client-certificate-data": DATA}), None, "a client certificate needs a key"),
    (config(user={"tokenFile": "no"}), None, "token's file"),
    (config(user={"username": "u", "password": "p"}), None, "by name and password"),
    (config(user={"as": "boss", "token": "t"}), None, "acts for somebody else (as)"),
    (config(cluster={"proxy-url": "http://p"}), None, "proxy-url is not supported"),
    (config(user={"auth-provider": {"name": "gcp"}}), None, "gke-gcloud-auth-plugin"),
    (config(user={"auth-provider": {"name": "azure"}}), None, "kubelogin"),
    (config(user={"auth-provider": {"name": "oidc"}}), None, "exec plugin"),
    (config(user={"exec": {}, "token": ""}), None, "exec has no command"),
]


@pytest.mark.parametrize(("document", "context", "words"), REFUSED)
def test_a_kubeconfig_that_cannot_be_used_says_why_in_one_line(write, call, refused, document, context, words):
    path = write(document)
    with pytest.raises(ConfigError) as error:
        Connection.from_kubeconfig(path, context)
    assert words in str(error.value)
    options = ["--context", context] if context else []
    assert words in refused(call("get", "--kubeconfig", path, *options))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"cluster": {"certificate-authority-data": DATA}}, "certificate-authority is no certificate"),
        ({"user": {"client-certificate-data": DATA, "client-key-data": DATA}}, "client certificate and its key"),
    ],
)
def test_certificates_that_are_none(write, call, refused, parts, words):
    assert words in refused(call("get", "--kubeconfig", write(config(**parts))))


def test_a_kubeconfig_that_is_not_there(call, refused, monkeypatch):
    assert "no such kubeconfig" in refused(call("get", "--kubeconfig", "nowhere"))
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    assert "/nowhere/a, /nowhere/b" in refused(call("get", "--context", "x"))
