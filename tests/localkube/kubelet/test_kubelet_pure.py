# SPDX-License-Identifier: Apache-2.0
"""What a pod asks for, what it gets, and where it may run."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from accelchain_operators.localkube.kubelet.addresses import PodAddress
from accelchain_operators.localkube.kubelet.binding import fits
from accelchain_operators.localkube.kubelet.content import (
    ContentError,
    PodIdentity,
    environment,
    expand,
    files,
    mapped,
)
from accelchain_operators.localkube.kubelet.podspec import RefusedError, read


def pod_of(container=None, **spec):
    container = {"name": "worker", "image": "accelchain-worker", **(container or {})}
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)-$(B)", "one-$(B)"),
        ("$$(A)", "$(A)"),
        ("$A $ $(", "$A $ $("),
        ("$$$(A)", "$one"),
    ],
)
def test_variables_expand_as_in_kubernetes(text, result):
    assert expand(text, {"A": "one"}) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/etc/plan/plan.json", "/pods/plan/plan.json"),
        ("/etc/plan", "/pods/plan"),
        ("--plan=/etc/plan/x", "--plan=/pods/plan/x"),
        ("/etc/plan/sub/x", "/pods/sub/x"),
        ("/etc/planet", "/etc/planet"),
        ("see /etc/plan/x", "see /etc/plan/x"),
        ("file:///etc/plan/x", "file:///etc/plan/x"),
    ],
)
def test_paths_of_the_container_become_paths_of_the_machine(text, result):
    assert mapped(text, [("/etc/plan", Path("/pods/plan")), ("/etc/plan/sub", Path("/pods/sub"))]) == result


def test_environment_from_fields_and_objects():
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "SETTING", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": True}}},
        {"name": "ALL", "value": "$(IP):$(KEY):$(LATER)"},
        {"name": "LATER", "value": "x"},
    ]
    pod = pod_of({"env": env}, nodeName="laptop")
    objects = {
        ("Secret", "s"): {"data": {"k": base64.b64encode(b"hidden").decode()}},
        ("ConfigMap", "c"): {"data": {"k": "shown"}},
    }
    assert environment(read(pod), PodIdentity(pod, "127.64.0.1", "127.0.0.1"), objects) == {
        "IP": "127.64.0.1",
        "NODE": "laptop",
        "LABEL": "b",
        "KEY": "hidden",
        "SETTING": "shown",
        "ALL": "127.64.0.1:hidden:$(LATER)",
        "LATER": "x",
    }


def test_files_of_volumes_honour_items_and_owner_modes():
    spec = read(
        pod_of(
            volumes=[
                {"name": "c", "configMap": {"name": "c", "items": [{"key": "run", "path": "bin/run", "mode": 0o755}]}},
                {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o444}},
                {"name": "o", "secret": {"secretName": "absent", "optional": True}},
                {"name": "e", "emptyDir": {}},
            ]
        )
    )
    objects = {
        ("ConfigMap", "c"): {"data": {"run": "echo", "other": ""}},
        ("Secret", "s"): {"data": {"t": base64.b64encode(b"\xff\x00").decode()}},
    }
    found = [(file.volume, file.path, file.data, file.mode) for file in files(spec, objects)]
    assert found == [("c", "bin/run", b"echo", 0o700), ("s", "t", b"\xff\x00", 0o400)]


def test_a_projected_volume_takes_keys_of_several_objects():
    sources = [
        {"secret": {"name": "one", "items": [{"key": "id", "path": "accessKeyId"}]}},
        {"secret": {"name": "two", "items": [{"key": "id", "path": "secretAccessKey", "mode": 0o400}]}},
        {"configMap": {"name": "c", "optional": True}},
    ]
    spec = read(pod_of(volumes=[{"name": "p", "projected": {"defaultMode": 0o600, "sources": sources}}]))
    assert {(r.kind, r.name) for r in spec.references()} == {("Secret", "one"), ("Secret", "two"), ("ConfigMap", "c")}
    objects = {
        ("Secret", name): {"data": {"id": base64.b64encode(text).decode(), "other": ""}}
        for name, text in (("one", b"1"), ("two", b"2"))
    }
    found = [(file.volume, file.path, file.data, file.mode) for file in files(spec, objects)]
    assert found == [("p", "accessKeyId", b"1", 0o600), ("p", "secretAccessKey", b"2", 0o400)]
    del objects["Secret", "two"]
    with pytest.raises(ContentError, match='Secret "two" not found'):
        list(files(spec, objects))


@pytest.mark.parametrize(
    ("objects", "path", "message"),
    [
        ({}, "x", 'ConfigMap "c" not found'),
        ({("ConfigMap", "c"): {"data": {}}}, "x", 'ConfigMap "c" has no key "k"'),
        ({("ConfigMap", "c"): {"data": {"k": ""}}}, "../../x", 'path "../../x" leaves the volume'),
    ],
)
def test_what_is_missing_or_leaves_the_volume_is_named(objects, path, message):
    spec = read(pod_of(volumes=[{"name": "c", "configMap": {"name": "c", "items": [{"key": "k", "path": path}]}}]))
    with pytest.raises(ContentError, match=message):
        list(files(spec, objects))


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (pod_of({"image": "ghcr.io/x/accelchain-worker-x:1"}), "spec.containers[0].image"),
        (pod_of({"command": ["sh"]}), "spec.containers[0].command"),
        (pod_of(restartPolicy="Always"), "spec.restartPolicy"),
        (pod_of(initContainers=[{"name": "i"}]), "spec.containers"),
        (pod_of(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), "spec.volumes[0]"),
        (
            pod_of(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "spec.volumes[0].projected.sources[0]",
        ),
        (pod_of({"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../y"}]}), "volumeMounts[0].subPath"),
    ],
)
def test_what_a_laptop_cannot_do_is_refused_by_field(pod, field):
    with pytest.raises(RefusedError) as caught:
        read(pod)
    assert field in caught.value.message


@pytest.mark.parametrize(
    "image", ["accelchain-worker", "ghcr.io:443/x/accelchain-worker:1.2", "a/accelchain-worker@sha256:0"]
)
def test_the_workers_image_may_come_from_anywhere(image):
    assert read(pod_of({"image": image})).image == image


def affinity(*terms):
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


def expression(operator, *values, key="kubernetes.io/hostname"):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/hostname": "laptop"}}, True),
        ({"nodeSelector": {"kubernetes.io/hostname": "other"}}, False),
        (affinity(expression("In", "other", "laptop")), True),
        (affinity(expression("NotIn", "laptop")), False),
        (affinity(expression("In", "other"), expression("Exists")), True),
        (affinity(expression("DoesNotExist", key="gpu")), True),
        (affinity(expression("Gt", "3", key="cores")), True),
        (affinity(expression("Lt", "3", key="cores")), False),
        (affinity(expression("Gt", "3")), False),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["laptop"]}]}), True),
        (affinity({}), False),
    ],
)
def test_selector_and_affinity_choose_the_node(spec, allowed):
    assert fits(pod_of(**spec), "laptop", {"kubernetes.io/hostname": "laptop", "cores": "4"}) is allowed


def test_an_address_is_free_again_after_its_release(monkeypatch):
    import accelchain_operators.localkube.kubelet.addresses as addresses

    first = PodAddress()
    monkeypatch.setattr(addresses.random, "SystemRandom", lambda: Always(first.ip))
    with pytest.raises(OSError, match="no free loopback address"):
        PodAddress()
    first.release()
    second = PodAddress()
    assert second.ip == first.ip
    second.release()


class Always:
    """A generator that knows one address only."""

    def __init__(self, ip):
        from accelchain_operators.localkube.kubelet.addresses import NETWORK

        a, b, c, d = (int(part) for part in ip.split("."))
        self.offset = ((a << 24) + (b << 16) + (c << 8) + d) - int(NETWORK.network_address)

    def randrange(self, *_):
        return self.offset
