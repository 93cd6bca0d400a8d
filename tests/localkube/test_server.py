# SPDX-License-Identifier: Apache-2.0
"""What is particular to the embedded server: start and stop, the token, faults, the record, limits, logs."""

from __future__ import annotations

import asyncio
import json
import stat

import aiohttp
import pytest
import yaml

from accelchain_operators.kube.client import ApiError, ResourceType
from accelchain_operators.kube.http_client import HttpClient
from accelchain_operators.localkube.errors import StatusError, bad_request
from accelchain_operators.localkube.faults import Fault
from accelchain_operators.localkube.recorder import Right
from accelchain_operators.localkube.server import LocalKube, Options

CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps")
MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


class Connected:
    """A server and a plain session to it."""

    def __init__(self, kube: LocalKube, session: aiohttp.ClientSession) -> None:
        self.kube = kube
        self.session = session

    async def __call__(self, method, path, body=None, *, media="application/json", token=None, **query):
        headers = {"Authorization": f"Bearer {self.kube.token if token is None else token}", "Content-Type": media}
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, path, data=data, headers=headers, params=query) as response:
            return response.status, await response.json(), response.headers


@pytest.fixture
async def connect(tmp_path):
    opened = []

    async def start(options: Options | None = None, prepare=lambda kube: None) -> Connected:
        kube = LocalKube(options)
        prepare(kube)
        await kube.start()
        context = (await asyncio.to_thread(HttpClient, kube.url, kube.token, kube.ca)).connection.ssl_context()
        session = aiohttp.ClientSession(kube.url, connector=aiohttp.TCPConnector(ssl=context))
        opened.append((kube, session))
        return Connected(kube, session)

    yield start
    for kube, session in opened:
        await session.close()
        await kube.stop()


async def test_nothing_for_the_anonymous(connect):
    api = await connect()
    for path in ("/api", "/apis", "/api/v1/pods", "/openapi/v3", MAPS, "/"):
        code, body, _ = await api("GET", path, token="wrong")
        assert (code, body["reason"]) == (401, "Unauthorized"), path
    async with api.session.get("/healthz") as response:
        assert response.status == 200
    async with api.session.get("/api/v1/secrets") as response:
        assert response.status == 401


def test_only_loopback():
    with pytest.raises(ValueError, match="loopback"):
        LocalKube(Options(host="0.0.0.0"))


async def test_the_kubeconfig_is_the_owners_alone(connect, tmp_path):
    api = await connect()
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    api.kube.write_kubeconfig(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == api.kube.url
    assert [file.name for file in tmp_path.iterdir()] == ["kubeconfig"]
    assert api.kube.token not in repr(api.kube.options)


async def test_a_taken_port_is_an_error(connect):
    api = await connect()
    port = int(api.kube.url.rsplit(":", 1)[1])
    other = LocalKube(Options(port=port))
    with pytest.raises(OSError):
        await other.start()
    await other.stop()


async def test_objects_are_put_in_before_the_start(connect):
    def prepare(kube):
        kube.put(config_map("early", a="1"))
        kube.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"phase": "x"}})
        with pytest.raises(StatusError):
            kube.put(config_map("early"))
        with pytest.raises(StatusError, match="no matches for kind"):
            kube.put({"apiVersion": "x/v1", "kind": "Unknown", "metadata": {"name": "a"}})

    api = await connect(prepare=prepare)
    assert (await api("GET", f"{MAPS}/early"))[1]["data"] == {"a": "1"}
    assert (await api("GET", "/api/v1/nodes/n"))[1]["status"] == {"phase": "x"}


async def test_stopping_ends_open_watches(connect):
    api = await connect()
    headers = {"Authorization": f"Bearer {api.kube.token}"}
    async with api.session.get(f"{MAPS}?watch=true", headers=headers) as response:
        assert response.status == 200
        await asyncio.wait_for(api.kube.stop(), 5)
        assert await asyncio.wait_for(response.content.read(), 5) == b""


async def test_a_client_that_leaves_is_forgotten(connect):
    api = await connect()
    headers = {"Authorization": f"Bearer {api.kube.token}"}
    listeners = api.kube._cluster.store._shelf("/configmaps").listeners
    async with api.session.get(f"{MAPS}?watch=true", headers=headers) as response:
        assert response.status == 200
        async with asyncio.timeout(5):
            while not listeners:
                await asyncio.sleep(0)
        response.close()
    async with asyncio.timeout(5):
        while listeners:
            await api("POST", MAPS, {"metadata": {"generateName": "x-"}})


async def test_a_watch_behind_the_window_is_410_and_the_client_lists_again(connect):
    api = await connect(Options(window=3))
    revision = (await api("GET", MAPS))[1]["metadata"]["resourceVersion"]
    client = HttpClient(api.kube.url, api.kube.token, api.kube.ca)
    try:
        for index in range(5):
            await api("POST", MAPS, config_map(f"c{index}"))
        with pytest.raises(ApiError) as caught:
            async for _ in client.watch(CONFIG_MAP, "default", resource_version=revision):
                pass
        assert caught.value.code == 410
        items, fresh = await client.list(CONFIG_MAP, "default")
        assert len(items) == 5
        await api("DELETE", f"{MAPS}/c0")
        async with asyncio.timeout(5):
            async for event in client.watch(CONFIG_MAP, "default", resource_version=fresh):
                assert (event.type, event.object["metadata"]["name"]) == ("DELETED", "c0")
                break
    finally:
        await client.close()


async def test_revisions_go_on_after_a_restart(connect):
    first = await connect()
    old = (await first("GET", MAPS))[1]["metadata"]["resourceVersion"]
    await asyncio.sleep(0.002)
    second = await connect()
    assert int((await second("GET", MAPS))[1]["metadata"]["resourceVersion"]) > int(old)


@pytest.mark.parametrize("code", [409, 410, 429, 500, 503])
async def test_injected_errors(connect, code):
    api = await connect()
    fault = api.kube.faults.add(
        Fault(verb="create", resource="configmaps", code=code, retry_after=1 if code == 429 else None)
    )
    status, body, headers = await api("POST", MAPS, config_map("c"))
    assert (status, body["code"], fault.hits) == (code, code, 1)
    assert headers.get("Retry-After") == ("1" if code == 429 else None)
    assert (await api("POST", MAPS, config_map("c")))[0] == 201


async def test_an_answer_that_is_lost_after_the_write(connect):
    api = await connect()
    api.kube.faults.add(Fault(verb="create", code=500, after_write=True))
    assert (await api("POST", MAPS, config_map("c")))[0] == 500
    assert (await api("POST", MAPS, config_map("c")))[0] == 409


async def test_injected_410_and_dropped_watches(connect):
    api = await connect()
    for name in "abc":
        await api("POST", MAPS, config_map(name))
    api.kube.faults.add(Fault(verb="watch", code=410))
    api.kube.faults.add(Fault(verb="watch", drop_after=2))
    headers = {"Authorization": f"Bearer {api.kube.token}"}
    async with api.session.get(f"{MAPS}?watch=true", headers=headers) as response:
        lines = (await response.text()).splitlines()
    assert json.loads(lines[0])["object"]["code"] == 410 and len(lines) == 1
    async with api.session.get(f"{MAPS}?watch=true", headers=headers) as response:
        assert len((await response.text()).splitlines()) == 2


async def test_the_record_counts_by_right_and_manager(connect):
    api = await connect()
    api.kube.recorder.clear()
    await api("POST", MAPS, config_map("c"), fieldManager="one")
    await api("PATCH", f"{MAPS}/c", {"data": {"x": "y"}}, media="application/merge-patch+json", fieldManager="two")
    await api("GET", MAPS)
    await api("POST", "/api/v1/namespaces/default/events", {"metadata": {"generateName": "e-"}, "involvedObject": {}})
    assert api.kube.recorder.rights("one") == {Right("", "configmaps", "create"): 1}
    assert api.kube.recorder.rights()[Right("", "configmaps", "list")] == 1
    assert api.kube.recorder.writes() == 3 and api.kube.recorder.writes(without=["events"]) == 2
    assert [request.code for request in api.kube.recorder.requests] == [201, 200, 200, 201]


async def test_old_events_make_room(connect):
    api = await connect(Options(event_limit=5))
    for _ in range(9):
        body = {"metadata": {"generateName": "e-"}, "involvedObject": {"name": "x"}, "reason": "R"}
        assert (await api("POST", "/api/v1/namespaces/default/events", body))[0] == 201
    assert len((await api("GET", "/api/v1/events"))[1]["items"]) == 5


async def test_large_bodies_are_refused(connect):
    api = await connect()
    code, body, _ = await api("POST", MAPS, config_map("c", big="x" * (4 * 1024 * 1024)))
    assert (code, body["reason"]) == (413, "RequestEntityTooLarge")


async def test_bodies_that_are_no_json(connect):
    api = await connect()
    headers = {"Authorization": f"Bearer {api.kube.token}", "Content-Type": "application/json"}
    async with api.session.post(MAPS, data=b"{", headers=headers) as response:
        assert response.status == 400
    assert (await api("POST", MAPS, [1]))[0] == 400
    assert (await api("POST", MAPS, {"metadata": 3}))[0] == 400


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "i"}]},
}
LOG = "/api/v1/namespaces/default/pods/p/log"


async def read_log(api, **query):
    headers = {"Authorization": f"Bearer {api.kube.token}"}
    async with api.session.get(LOG, headers=headers, params=query) as response:
        return response.status, await response.text()


async def test_logs_come_from_the_nodes_source(connect):
    api = await connect()
    asked = []

    async def source(namespace, pod, container="", follow=False, tail_lines=None):
        asked.append((namespace, pod, container, follow, tail_lines))
        yield b"one\n"
        yield b"two\n"

    api.kube.add_log_source("n", source)
    await api("POST", "/api/v1/namespaces/default/pods", POD)
    assert await read_log(api, follow="true", tailLines="5") == (200, "one\ntwo\n")
    assert await read_log(api, limitBytes="5") == (200, "one\nt")
    assert asked[0] == ("default", "p", "main", True, 5)
    assert (await read_log(api, container="other"))[0] == 400
    assert (await read_log(api, previous="true"))[0] == 400


async def test_logs_that_are_not_there(connect):
    api = await connect()

    async def source(namespace, pod, container="", follow=False, tail_lines=None):
        raise bad_request("waiting to start")
        yield b""

    await api("POST", "/api/v1/namespaces/default/pods", POD)
    code, text = await read_log(api)
    assert code == 400 and "serves no logs" in text
    api.kube.add_log_source("n", source)
    code, text = await read_log(api)
    assert code == 400 and "waiting to start" in text


async def test_a_followed_log_is_closed_when_its_reader_leaves(connect):
    api = await connect()
    closed = asyncio.Event()

    async def source(namespace, pod, container="", follow=False, tail_lines=None):
        try:
            while True:
                yield b"line\n"
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    api.kube.add_log_source("n", source)
    await api("POST", "/api/v1/namespaces/default/pods", POD)
    headers = {"Authorization": f"Bearer {api.kube.token}"}
    async with api.session.get(LOG, headers=headers, params={"follow": "true"}) as response:
        assert await response.content.readline() == b"line\n"
        response.close()
    await asyncio.wait_for(closed.wait(), 5)
