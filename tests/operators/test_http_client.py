# SPDX-License-Identifier: Apache-2.0
"""The HTTP client against the embedded API with faults: what a user of it sees."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from accelchain_operators.kube import http_client
from accelchain_operators.kube.client import ApiError, JsonObject
from accelchain_operators.kube.connection import ConfigError, Connection
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.kube.kinds import CONFIG_MAP, SECRET
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.server import LocalKube


@pytest.fixture
async def kube() -> AsyncIterator[LocalKube]:
    server = LocalKube()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(kube: LocalKube, tmp_path: Path) -> AsyncIterator[HttpClient]:
    kube.write_kubeconfig(tmp_path / "kubeconfig")
    client = HttpClient.from_kubeconfig(tmp_path / "kubeconfig")
    yield client
    await client.close()


def config_map(name: str, **data: str) -> JsonObject:
    meta = {"name": name, "namespace": "default", "labels": {"app": name[0]}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def test_create_get_apply_patch_and_delete(client: HttpClient) -> None:
    await client.create(CONFIG_MAP, config_map("a", x="1"))
    assert (await client.get(CONFIG_MAP, "a", "default"))["data"] == {"x": "1"}
    await client.apply(CONFIG_MAP, config_map("b", x="1", y="2"), field_manager="m")
    await client.apply(CONFIG_MAP, config_map("b", x="1"), field_manager="m")
    assert (await client.get(CONFIG_MAP, "b", "default"))["data"] == {"x": "1"}
    await client.patch(CONFIG_MAP, "a", "default", {"data": {"x": None, "z": "3"}})
    await client.patch(CONFIG_MAP, "a", "default", [{"op": "add", "path": "/data/w", "value": "4"}])
    assert (await client.get(CONFIG_MAP, "a", "default"))["data"] == {"z": "3", "w": "4"}
    with pytest.raises(ApiError) as wrong_uid:
        await client.delete(CONFIG_MAP, "a", "default", uid="another")
    assert wrong_uid.value.code == 409
    await client.delete(CONFIG_MAP, "a", "default")
    with pytest.raises(ApiError) as gone:
        await client.get(CONFIG_MAP, "a", "default")
    assert gone.value.code == 404


async def test_lists_come_in_pages_with_their_kind(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "PAGE", 2)
    for number in range(5):
        await client.create(CONFIG_MAP, config_map(f"a{number}"))
    await client.create(CONFIG_MAP, config_map("b"))
    items, version = await client.list(CONFIG_MAP, label_selector="app=a")
    assert [item["metadata"]["name"] for item in items] == [f"a{number}" for number in range(5)]
    assert all(item["kind"] == "ConfigMap" for item in items)
    assert int(version) > 0


async def test_a_list_whose_pages_expired_begins_again(
    kube: LocalKube, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "PAGE", 2)
    for number in range(3):
        await client.create(CONFIG_MAP, config_map(f"a{number}"))
    kube.faults.add(Fault(verb="list", resource="configmaps", code=410, skip=1))
    items, _ = await client.list(CONFIG_MAP, "default", label_selector="app=a")
    assert len(items) == 3


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_errors_that_pass_are_waited_for(kube: LocalKube, client: HttpClient, code: int) -> None:
    fault = kube.faults.add(Fault(verb="create", code=code, times=2, retry_after=0 if code == 429 else None))
    await client.create(CONFIG_MAP, config_map("a"))
    assert fault.hits == 2


async def test_an_answer_that_was_lost_shows_as_a_conflict_that_callers_expect(
    kube: LocalKube, client: HttpClient
) -> None:
    kube.faults.add(Fault(verb="create", code=504, after_write=True))
    with pytest.raises(ApiError) as error:
        await client.create(CONFIG_MAP, config_map("a"))
    assert error.value.code == 409
    assert await client.get(CONFIG_MAP, "a", "default")


async def test_a_watch_goes_on_from_its_last_version_after_it_was_cut(kube: LocalKube, client: HttpClient) -> None:
    _, version = await client.list(CONFIG_MAP, "default")
    for name in ("a", "b", "c"):
        await client.create(CONFIG_MAP, config_map(name))
    kube.faults.add(Fault(verb="watch", drop_after=2))
    seen: list[str] = []
    async with asyncio.timeout(10):
        while len(seen) < 3:
            async for event in client.watch(CONFIG_MAP, "default", resource_version=version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type == "ADDED":
                    seen.append(event.object["metadata"]["name"])
                if len(seen) == 3:
                    break
    assert seen == ["a", "b", "c"]


async def test_a_watch_from_a_forgotten_version_says_410(kube: LocalKube, client: HttpClient) -> None:
    kube.faults.add(Fault(verb="watch", code=410))
    with pytest.raises(ApiError) as error:
        async for _ in client.watch(CONFIG_MAP, "default", resource_version="1"):
            pass
    assert error.value.code == 410


async def test_a_wrong_token_is_refused_at_once(kube: LocalKube, client: HttpClient) -> None:
    stranger = HttpClient(kube.url, "wrong", client.connection.ca)
    with pytest.raises(ApiError) as error:
        await stranger.list(CONFIG_MAP)
    assert error.value.code == 401
    await stranger.close()


async def test_a_watch_that_falls_silent_ends(unused_tcp_port: int) -> None:
    silence = asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5"}}}\n')
        await silence.wait()
        return response

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/default/configmaps", watch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    client = HttpClient(f"http://127.0.0.1:{unused_tcp_port}", watch_inactivity=0.2)
    async with asyncio.timeout(10):
        events = [e async for e in client.watch(CONFIG_MAP, "default", resource_version="1")]
    assert [e.type for e in events] == ["BOOKMARK"]
    silence.set()
    await client.close()
    await runner.cleanup()


async def test_an_api_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr(http_client, "ATTEMPTS", 1)
    client = HttpClient(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(ApiError, match=f"http://127.0.0.1:{unused_tcp_port} does not answer"):
        await client.list(CONFIG_MAP)
    await client.close()


def kubeconfig(path: Path, user: JsonObject, cluster: JsonObject | None = None) -> Path:
    config: dict[str, Any] = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_kubeconfig_gives_server_credentials_and_namespace(tmp_path: Path) -> None:
    data = {"certificate-authority-data": base64.b64encode(b"-----BEGIN").decode()}
    path = kubeconfig(tmp_path / "config", {"token": "t"}, data)
    assert Connection.from_kubeconfig(path) == Connection(
        "https://k:6443", "t", ca="-----BEGIN", namespace="team", user="u"
    )


def test_a_token_file_is_read_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    connection = Connection.from_kubeconfig(kubeconfig(tmp_path / "config", {"tokenFile": "token"}))
    assert connection.current_token() == "one"
    (tmp_path / "token").write_text("two\n")
    assert connection.current_token() == "two"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "current-context is not set"),
        ("{}", "current-context"),
        ("current-context: c", "there is no context 'c'"),
        ("a: [", "config, line 1: this is no YAML"),
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Connection.from_kubeconfig(tmp_path / "config")


def test_a_login_program_without_a_version_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exec"):
        Connection.from_kubeconfig(kubeconfig(tmp_path / "config", {"exec": {"command": "login"}}))


def test_outside_a_cluster_there_is_no_in_cluster_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="not in a cluster"):
        Connection.in_cluster()


@pytest.mark.parametrize("name", ["../../kube-system/secrets/theirs", "..", ".", "a/b", "a%2Fb"])
async def test_a_name_leads_to_no_other_object(kube: LocalKube, client: HttpClient, name: str) -> None:
    """A user's ``credentialsRef`` must not have the operators look into another namespace."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "kube-system"}}
    await client.create(SECRET, secret)
    kube.recorder.clear()
    with pytest.raises(ApiError, match="404 NotFound: no object can have the name"):
        await client.get(SECRET, name, "default")
    assert not kube.recorder.requests
