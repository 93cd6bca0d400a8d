# SPDX-License-Identifier: Apache-2.0
"""The CEL rules of the CRDs, evaluated: what each lets through and what it stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accelchain.api.crd import crds

cel = pytest.importorskip("cel")

Json = Any
CHAIN = {
    "functions": [{"name": "a", "type": "x"}, {"name": "ab", "type": "y"}],
    "connections": [{"from": "a.out", "to": "ab.in"}],
}
PLACED = {"placement": [{"function": "a"}]}
INDIVIDUAL = {"mode": "Batch", "chainRef": {"name": "c"}, "inputs": {"v": {"uri": "file:///v"}}}


def violations(kind: str, obj: Json, old: Json = None) -> list[str]:
    """Return the messages of the rules that an object breaks, defaults taken as given."""
    root = next(d for d in crds() if d["spec"]["names"]["kind"] == kind)
    schema = root["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return list(_walk(schema, {"metadata": {"name": "n"}, **obj}, old and {"metadata": {"name": "n"}, **old}))


def _walk(schema: Json, value: Json, old: Json) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"] and old is None:
            continue
        if not cel.evaluate(rule["rule"], {"self": value, "oldSelf": old}):
            yield rule["message"]
    for name, child in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _walk(child, value[name], (old or {}).get(name))
    for item in value if isinstance(value, list) else ():
        yield from _walk(schema["items"], item, None)


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        ("DataFlow", {"chainRef": {"name": "c"}}, {"chainRef": {"name": "c"}, "chain": CHAIN}, "exactly one"),
        ("DataFlow", {"chain": CHAIN}, {}, "exactly one"),
        (
            "DataFlow",
            {"chain": CHAIN, "placement": {"rules": [{"deviceTypes": ["cpu"], "excludeDeviceTypes": ["gpu"]}]}},
            {"chain": CHAIN, "placement": {"rules": [{"deviceTypes": ["cpu"], "excludeDeviceTypes": ["cpu"]}]}},
            "wanted and excluded",
        ),
        ("FunctionChain", CHAIN, CHAIN | {"connections": [{"from": "a.out", "to": "b.in"}]}, "of this chain"),
        ("FunctionChain", CHAIN, CHAIN | {"connections": [{"from": "ab.out", "to": "ab.in"}]}, "to itself"),
        (
            "FunctionChain",
            CHAIN | {"connections": [{"from": "a.out", "to": "ab.in"}, {"from": "a.out", "to": "ab.other"}]},
            CHAIN | {"connections": [{"from": "a.out", "to": "ab.in"}, {"from": "a.two", "to": "ab.in"}]},
            "takes one connection",
        ),
        (
            "FunctionChain",
            CHAIN | {"parameters": [{"name": "p", "type": "number", "minimum": 0.5, "maximum": 1}]},
            CHAIN | {"parameters": [{"name": "p", "type": "number", "minimum": 2, "maximum": 1}]},
            "must not exceed",
        ),
        (
            "FunctionType",
            {"role": "source", "outputs": [{"name": "o"}]},
            {"role": "source", "inputs": [{"name": "i"}], "outputs": [{"name": "o"}]},
            "role source",
        ),
        (
            "FunctionType",
            {"role": "sink", "inputs": [{"name": "i"}]},
            {"role": "transform", "inputs": [{"name": "i"}]},
            "role sink",
        ),
        (
            "FunctionType",
            {"role": "sink", "inputs": [{"name": "i"}], "implementations": [{"api": "host", "entrypoint": "m:C"}]},
            {"role": "sink", "inputs": [{"name": "i"}], "implementations": [{"api": "host"}]},
            "exactly one of entrypoint",
        ),
        ("SchedulingStrategy", {"extends": {"name": "other"}}, {"extends": {"name": "n"}}, "extend itself"),
    ],
)
def test_rule(kind: str, good: Json, bad: Json, message: str) -> None:
    assert violations(kind, {"spec": good}) == []
    assert any(message in found for found in violations(kind, {"spec": bad}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chainRef", {"name": "d"}),
        ("mode", "Stream"),
        ("inputs", {"v": {"uri": "file:///w"}}),
        ("rate", {"framesPerSecond": 8}),
        ("strategyRef", {"name": "s"}),
        ("activeDeadlineSeconds", 5),
        ("dryRun", True),
        ("volumes", [{"name": "v", "mountPath": "/data", "persistentVolumeClaim": {"claimName": "c"}}]),
    ],
)
def test_a_field_of_the_plan_can_be_corrected_until_the_flow_is_placed(field: str, value: Json) -> None:
    new = {"spec": INDIVIDUAL | {field: value}}
    assert violations("DataFlow", new, {"spec": INDIVIDUAL}) == []
    assert violations("DataFlow", new, {"spec": INDIVIDUAL, "status": {"conditions": []}}) == []
    (message,) = violations("DataFlow", new, {"spec": INDIVIDUAL, "status": PLACED})
    assert message.startswith(field)
    removed = {"spec": {k: v for k, v in INDIVIDUAL.items() if k != field}}
    assert bool(violations("DataFlow", removed, {"spec": INDIVIDUAL, "status": PLACED})) == (field in INDIVIDUAL)


def test_a_flow_has_any_name_that_kubernetes_allows() -> None:
    flow = {"spec": {"chainRef": {"name": "c"}}}
    assert violations("DataFlow", flow | {"metadata": {"name": "n" * 253}}) == []


@pytest.mark.parametrize(("old", "new", "allowed"), [(False, True, True), (True, True, True), (True, False, False)])
def test_a_cancelled_flow_stays_cancelled(old: bool, new: bool, allowed: bool) -> None:
    found = violations("DataFlow", {"spec": INDIVIDUAL | {"cancel": new}}, {"spec": INDIVIDUAL | {"cancel": old}})
    assert found == [] if allowed else "can't be taken back" in found[0]
    assert allowed or violations("DataFlow", {"spec": INDIVIDUAL}, {"spec": INDIVIDUAL | {"cancel": old}})


def test_what_acts_on_a_running_flow_can_be_changed_when_it_is_placed() -> None:
    old = {"spec": INDIVIDUAL, "status": PLACED}
    for field, value in (
        ("suspend", True),
        ("cancel", True),
        ("retries", {"limit": 3}),
        ("ttlSecondsAfterFinished", 0),
        ("parameters", {"a": 1}),
        ("functionParameters", [{"function": "a", "parameters": {"b": 1}}]),
    ):
        assert violations("DataFlow", {"spec": INDIVIDUAL | {field: value}}, old) == []


def test_a_dry_run_holds_nothing_and_can_be_changed_and_run() -> None:
    dry = {"spec": INDIVIDUAL | {"dryRun": True}, "status": PLACED}
    assert violations("DataFlow", {"spec": INDIVIDUAL | {"dryRun": False, "mode": "Stream"}}, dry) == []
    placed = {"spec": INDIVIDUAL | {"dryRun": False}, "status": PLACED}
    assert violations("DataFlow", {"spec": INDIVIDUAL | {"dryRun": True}}, placed)


def volume(path: str, name: str = "v") -> Json:
    return {"name": name, "mountPath": path, "persistentVolumeClaim": {"claimName": "c"}}


@pytest.mark.parametrize("path", ["/data", "/data/in", "/library", "/etcetera/x", "/a.b/..c"])
def test_a_volume_is_mounted_where_nothing_of_the_worker_is(path: str) -> None:
    assert violations("DataFlow", {"spec": INDIVIDUAL | {"volumes": [volume(path)]}}) == []


@pytest.mark.parametrize(
    "path",
    ["/", "data", "/data/", "//data", "/a/../etc", "/a/..", "/a/./b", "/etc", "/etc/x", "/var/cache", "/tmp", "/lib"],
)
def test_a_volume_is_not_mounted_over_what_the_worker_needs(path: str) -> None:
    assert violations("DataFlow", {"spec": INDIVIDUAL | {"volumes": [volume(path)]}})


def test_two_volumes_are_not_mounted_at_one_place() -> None:
    two = [volume("/data"), volume("/data", "w")]
    assert "one mountPath" in violations("DataFlow", {"spec": INDIVIDUAL | {"volumes": two}})[0]
