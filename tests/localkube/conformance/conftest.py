# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the conformance tests: they hold for a real API server too.

Set ``ACCELCHAIN_TEST_KUBECONFIG`` to run them against another server; only ``kubeconfig`` differs.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

GROUP = "conformance.accelchain.test"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
FOREIGN = os.environ.get("ACCELCHAIN_TEST_KUBECONFIG", "")
# The garbage collector of a real cluster learns of a new kind within 30 s.
DEADLINE = 60.0 if FOREIGN else 15.0

WIDGET_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.size <= 100 || has(self.color)", "message": "big widgets need a color"}
            ],
            "properties": {
                "size": {"type": "integer", "default": 1, "minimum": 0, "maximum": 1000},
                "color": {"type": "string", "enum": ["red", "green", "blue"]},
                "class": {
                    "type": "string",
                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "class is immutable"}],
                },
                "node": {"type": "string"},
                "when": {"type": "string", "format": "date-time"},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "tags": {
                    "type": "array", "x-kubernetes-list-type": "set", "maxItems": 10,
                    "items": {"type": "string", "maxLength": 20},
                },
                "order": {"type": "array", "items": {"type": "string"}},
                "parts": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "maxItems": 10,
                    "items": {
                        "type": "object", "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "count": {"type": "integer", "default": 1},
                            "serial": {
                                "type": "string", "maxLength": 20,
                                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "serial is fixed"}],
                            },
                        },
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": {"type": "string"},
                "conditions": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object", "required": ["type", "status"],
                        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                    },
                },
            },
        },
    },
}  # fmt: skip


def widget_crd(schema: dict[str, Any] = WIDGET_SCHEMA, *, group: str = GROUP, **version: Any) -> dict[str, Any]:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Node", "type": "string", "jsonPath": ".spec.node", "priority": 1},
        {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name", "priority": 1},
        {"name": "Counts", "type": "string", "jsonPath": ".spec.parts[?(@.count>1)].count", "priority": 1},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags", "priority": 1},
        {"name": "Free", "type": "string", "jsonPath": ".spec.free", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wdg"], "categories": ["things"]},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}}, "additionalPrinterColumns": columns,
                    "selectableFields": [{"jsonPath": ".spec.node"}], **version,
                }
            ],
        },
    }  # fmt: skip


class Answer:
    """A response: code, headers, and the body as JSON (or text)."""

    def __init__(self, code: int, headers: Any, raw: bytes) -> None:
        self.code = code
        self.headers = headers
        self.text = raw.decode()
        # A real server sends its OpenAPI index as text/plain.
        is_json = "json" in headers.get("Content-Type", "") or self.text.startswith("{")
        self.body: Any = json.loads(raw) if is_json else self.text

    def ok(self) -> Any:
        assert self.code < 300, self.text
        return self.body

    def refused(self, code: int, reason: str = "") -> str:
        assert self.code == code, f"{self.code}: {self.text}"
        assert not reason or self.body["reason"] == reason, self.text
        return str(self.body["message"])


class Rest:
    """The API over plain HTTP, as a kubeconfig says."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}

    def as_token(self, token: str) -> Rest:
        """Return the same API, asked with another token."""
        other = copy.copy(self)
        other.headers = {"Authorization": f"Bearer {token}"}
        return other

    def as_account(self, namespace: str, name: str) -> Rest:
        """Return the same API, asked by a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return self.as_token(self.post(path, {"spec": {"expirationSeconds": 3600}}).ok()["status"]["token"])

    def open(self, method: str, path: str, body: Any = None, media: str = "application/json", **query: Any) -> Any:
        values = {key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()}
        headers = {"Accept": "application/json", "User-Agent": "conformance/1", **self.headers, "Content-Type": media}
        headers |= values.pop("headers", {})
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(values, doseq=True)}" if values else "")
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=DEADLINE, context=self.context)

    def __call__(
        self, method: str, path: str, body: Any = None, media: str = "application/json", **query: Any
    ) -> Answer:
        try:
            with self.open(method, path, body, media, **query) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str, **query: Any) -> Answer:
        return self("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> Answer:
        return self("POST", path, body, **query)

    def put(self, path: str, body: Any, **query: Any) -> Answer:
        return self("PUT", path, body, **query)

    def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return self("DELETE", path, body, **query)

    def merge(self, path: str, body: Any, **query: Any) -> Answer:
        return self("PATCH", path, body, MERGE, **query)

    def patch(self, path: str, body: Any, **query: Any) -> Answer:
        return self("PATCH", path, body, JSON_PATCH, **query)

    def apply(self, path: str, body: Any, manager: str, **query: Any) -> Answer:
        return self("PATCH", path, body, APPLY, fieldManager=manager, **query)

    def watch(self, path: str, until: Callable[[list[dict[str, Any]]], bool], **query: Any) -> list[dict[str, Any]]:
        """Collect events until a condition holds or the stream ends."""
        events: list[dict[str, Any]] = []
        with self.open("GET", path, watch=True, timeoutSeconds=10, **query) as response:
            for line in response:
                events.append(json.loads(line))
                if until(events):
                    break
        return events

    def gone(self, path: str) -> None:
        """Wait until there is nothing at a path."""
        eventually(lambda: self.get(path).code == 404, f"{path} is still there")


def eventually(check: Callable[[], Any], message: str) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError(message)


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition; fails with the message after the deadline."""
    return eventually


@pytest.fixture(scope="session")
def make_crd() -> Callable[..., dict[str, Any]]:
    """Return a definition of widgets in another group or with another schema."""
    return widget_crd


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The server under test: the embedded API unless another one is named."""
    if FOREIGN:
        return Path(FOREIGN)
    return request.getfixturevalue("shared_kubeconfig")


@pytest.fixture(scope="session")
def foreign_server() -> bool:
    """Whether another server than the embedded API is under test."""
    return bool(FOREIGN)


@pytest.fixture(scope="session")
def rest(kubeconfig: Path) -> Rest:
    return Rest(kubeconfig)


@pytest.fixture
def namespace(rest: Rest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    rest.post("/api/v1/namespaces", {"metadata": {"name": name}, "apiVersion": "v1", "kind": "Namespace"}).ok()
    yield name
    rest.delete(f"/api/v1/namespaces/{name}")


def establish(rest: Rest, crd: dict[str, Any]) -> None:
    rest.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).ok()
    base = f"/apis/{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"
    eventually(lambda: rest.get(f"{base}/widgets").code == 200, "the definition is not served")


@pytest.fixture(scope="session")
def widgets_served(rest: Rest) -> Iterator[None]:
    establish(rest, widget_crd())
    yield
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{GROUP}"
    rest.delete(path)
    rest.gone(path)  # or the next run finds it still being deleted


class Widgets:
    """Where widgets of a namespace are, and what they look like."""

    def __init__(self, namespace: str) -> None:
        self.path = f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets"

    def at(self, name: str, subresource: str = "") -> str:
        return f"{self.path}/{name}" + (f"/{subresource}" if subresource else "")

    def make(self, name: str = "", /, spec: Any = None, **meta: Any) -> dict[str, Any]:
        shown = {**({"name": name} if name else {}), **meta}
        body: dict[str, Any] = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": shown}
        return {**body, "spec": spec} if spec is not None else body


@pytest.fixture
def widgets(namespace: str, widgets_served: None) -> Widgets:
    return Widgets(namespace)


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str, tmp_path: Path) -> Callable[..., str]:
    """Run kubectl in the test's namespace; returns its output, fails where it fails (or doesn't, with ``fails``)."""
    program = Path(sys.executable).with_name("kubectl")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}

    def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [str(program), "--namespace", namespace, *arguments], env=environment, input=stdin, text=True,
            capture_output=True, timeout=DEADLINE * 2, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run
