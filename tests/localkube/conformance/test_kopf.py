# SPDX-License-Identifier: Apache-2.0
"""A kopf operator with handlers, a finalizer, a daemon and events, unmodified."""

from __future__ import annotations

import threading

import kopf
import pytest


@pytest.fixture
def operator(kubeconfig, namespace, monkeypatch, widgets_served):
    """Run an operator for the test's namespace; yields its registry to fill and a function that starts it."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    stop, ready = threading.Event(), threading.Event()
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = "conformance.accelchain.test/finalizer"

    def serve():
        kopf.run(
            registry=registry, settings=settings, namespaces=[namespace], standalone=True, stop_flag=stop,
            ready_flag=ready,
        )  # fmt: skip

    thread = threading.Thread(target=serve, daemon=True)

    def start():
        thread.start()
        assert ready.wait(20), "the operator did not start"

    yield registry, start
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_handlers_finalizer_and_events(rest, widgets, namespace, operator, eventually):
    registry, start = operator
    seen = []

    @kopf.on.create("conformance.accelchain.test", "v1", "widgets", registry=registry)
    def created(name, body, patch, **_):
        seen.append(("create", name))
        patch.status["phase"] = "Created"
        kopf.info(body, reason="Made", message="made by kopf")

    @kopf.on.update("conformance.accelchain.test", "v1", "widgets", field="spec.size", registry=registry)
    def resized(name, old, new, **_):
        seen.append(("resize", old, new))

    @kopf.on.delete("conformance.accelchain.test", "v1", "widgets", registry=registry)
    def deleted(name, **_):
        seen.append(("delete", name))

    start()
    rest.post(widgets.path, widgets.make("a", {"size": 2})).ok()
    made = eventually(
        lambda: (found := rest.get(widgets.at("a")).ok()).get("status", {}).get("phase") == "Created" and found,
        "the create handler did not run",
    )
    assert made["metadata"]["finalizers"] == ["conformance.accelchain.test/finalizer"]
    rest.merge(widgets.at("a"), {"spec": {"size": 5}}).ok()
    eventually(lambda: ("resize", 2, 5) in seen, "the update handler did not run")
    rest.delete(widgets.at("a")).ok()
    rest.gone(widgets.at("a"))
    assert ("delete", "a") in seen
    events = eventually(lambda: rest.get(f"/api/v1/namespaces/{namespace}/events").ok()["items"], "no event")
    assert any(event["reason"] == "Made" for event in events)


def test_level_triggered_events_begin_with_the_list(rest, widgets, operator, eventually):
    registry, start = operator
    seen = []

    @kopf.on.event("conformance.accelchain.test", "v1", "widgets", registry=registry)
    def changed(type, name, **_):
        seen.append((type, name))

    rest.post(widgets.path, widgets.make("early", {})).ok()
    start()
    eventually(lambda: (None, "early") in seen, "the list was not seen")
    rest.post(widgets.path, widgets.make("late", {})).ok()
    rest.delete(widgets.at("early")).ok()
    eventually(lambda: {("ADDED", "late"), ("DELETED", "early")} <= set(seen), "the changes were not seen")
