# SPDX-License-Identifier: Apache-2.0
"""`accelchain doctor --context …`: what a cluster's Argo lacks for our steps, and what to do about it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from accelchain.argo.install import CONTROLLER_RULES, PLUGIN_RULES, WORKFLOW_RULES, Rule, Wanted, objects
from accelchain.cli.argo_diagnosis import Verdict, diagnose
from accelchain.cli.doctor_argo import look
from accelchain_operators.kube.client import ApiError, ResourceType

JsonObject = dict[str, Any]

RIGHTS = {
    "argo:default": {(r.group, r.resource, v) for r in CONTROLLER_RULES for v in r.verbs},
    "runner": {(r.group, r.resource, v) for r in WORKFLOW_RULES for v in r.verbs},
    "accelchain-executor-plugin": {(r.group, r.resource, v) for r in PLUGIN_RULES for v in r.verbs},
}


def deployment(namespace: str, name: str, labels: JsonObject | None = None, **container: Any) -> JsonObject:
    return {
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": labels or {}},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x", **container}]}}},
        "status": {"readyReplicas": 1},
    }


def controller(*arguments: str, **environment: str) -> JsonObject:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    return deployment("argo", "workflow-controller", command=["workflow-controller"], args=[*arguments], env=env)


def config(**data: str) -> JsonObject:
    meta = {"namespace": "argo", "name": "workflow-controller-configmap"}
    return {"kind": "ConfigMap", "metadata": meta, "data": data}


TASKSET = deployment("accelchain-system", "accelchain-taskset", {"app.kubernetes.io/part-of": "accelchain"})
GOOD = controller(DEFAULT_REQUEUE_TIME="1s", ARGO_EXECUTOR_PLUGINS="true")
ACCOUNT = {"kind": "ServiceAccount", "metadata": {"namespace": "team", "name": "runner"}}
INSTALLED = [*objects(Wanted("team", service_account="runner")), ACCOUNT]


class Cluster:
    """As much of an API as the doctor asks: objects, and who may do what."""

    def __init__(
        self,
        made: Iterable[JsonObject],
        rights: dict[str, set[tuple[str, str, str]]] | None = None,
        forbidden: Iterable[str] = (),
    ) -> None:
        self._objects = list(made)
        self._rights = RIGHTS if rights is None else rights
        self._forbidden = set(forbidden)

    async def list(
        self, type: ResourceType, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[JsonObject], str]:
        self._check(type)
        key, _, value = label_selector.partition("=")
        return [
            obj
            for obj in self._objects
            if obj["kind"] == type.kind
            and namespace in (None, obj["metadata"]["namespace"])
            and (not key or obj["metadata"].get("labels", {}).get(key) == value)
        ], "1"

    async def get(self, type: ResourceType, name: str, namespace: str | None = None) -> JsonObject:
        for obj in (await self.list(type, namespace))[0]:
            if obj["metadata"]["name"] == name:
                return obj
        raise ApiError(404, "NotFound", f'{type.plural} "{name}" not found')

    async def create(self, type: ResourceType, obj: JsonObject) -> JsonObject:
        self._check(type)
        spec = obj["spec"]
        asked = spec["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        who = spec["user"].removeprefix("system:serviceaccount:").removeprefix("team:")
        return {"status": {"allowed": (asked["group"], resource, asked["verb"]) in self._rights.get(who, set())}}

    def _check(self, type: ResourceType) -> None:
        if type.plural in self._forbidden:
            raise ApiError(403, "Forbidden", f"{type.plural} is forbidden")


async def seen(cluster: Cluster, account: str = "runner") -> list[Verdict]:
    return list(diagnose(await look(cluster, "team", account)))  # type: ignore[arg-type]


def failures(verdicts: list[Verdict]) -> list[str]:
    return [verdict.text for verdict in verdicts if verdict.level == "FAIL"]


async def test_nothing_is_wrong_with_the_plugin_route() -> None:
    verdicts = await seen(Cluster([GOOD, config(), *INSTALLED]))
    assert {verdict.level for verdict in verdicts} == {"ok"}, verdicts


async def test_nothing_is_wrong_with_the_task_set_route() -> None:
    rights = objects(Wanted("team", service_account="runner", plugin=False))
    made = [controller(DEFAULT_REQUEUE_TIME="1s"), config(disableAgentPodCreation="true"), TASKSET, ACCOUNT, *rights]
    verdicts = await seen(Cluster(made))
    assert {verdict.level for verdict in verdicts} == {"ok"}, verdicts


async def test_a_configuration_in_one_block_is_read_too() -> None:
    made = [controller(DEFAULT_REQUEUE_TIME="1s"), config(config="x: 1\ndisableAgentPodCreation: true\n"), ACCOUNT]
    assert any("nobody else serves steps" in text for text in failures(await seen(Cluster(made))))


@pytest.mark.parametrize(("time", "said"), [(None, "not set, so 10s"), ("10s", "up to 20 s"), ("5s", "up to 10 s")])
async def test_slow_reactions_of_argo_are_told(time: str | None, said: str) -> None:
    environment = {"ARGO_EXECUTOR_PLUGINS": "true"} | ({"DEFAULT_REQUEUE_TIME": time} if time else {})
    verdicts = await seen(Cluster([controller(**environment), config(), *INSTALLED]))
    (warning,) = [verdict.text for verdict in verdicts if verdict.level == "WARN"]
    assert said in warning
    assert "kubectl -n argo set env deployment/workflow-controller DEFAULT_REQUEUE_TIME=1s" in warning


async def test_a_controller_without_plugins_is_told() -> None:
    (text,) = failures(await seen(Cluster([controller(DEFAULT_REQUEUE_TIME="1s"), config(), *INSTALLED])))
    assert text.startswith("ARGO_EXECUTOR_PLUGINS: ")
    flagged = controller("--executor-plugins", DEFAULT_REQUEUE_TIME="1s")
    assert failures(await seen(Cluster([flagged, config(), *INSTALLED]))) == []


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("ConfigMap", "accelchain-executor-plugin", "accelchain argo install -n team"),
        ("ServiceAccount", "accelchain-executor-plugin", "end in Error"),
        ("Secret", "accelchain-executor-plugin.service-account-token", "agents never start"),
        ("Secret", "runner.service-account-token", "Init:0/1"),
        ("ServiceAccount", "runner", "create it"),
    ],
)
async def test_what_is_missing_is_told_with_its_effect(kind: str, name: str, said: str) -> None:
    left = [o for o in INSTALLED if (o["kind"], o["metadata"]["name"]) != (kind, name)]
    (text,) = failures(await seen(Cluster([GOOD, config(), *left])))
    assert name in text and said in text


async def test_missing_rights_are_told_one_by_one() -> None:
    rights = copy.deepcopy(RIGHTS)
    rights["runner"] -= {("argoproj.io", "workflowtasksets/status", "patch")}
    (text,) = failures(await seen(Cluster([GOOD, config(), *INSTALLED], rights)))
    assert str(Rule("argoproj.io", "workflowtasksets/status", ("patch",))) in text
    assert "--service-account runner" in text


async def test_a_controller_that_may_not_clean_up_is_told() -> None:
    rights = {**RIGHTS, "argo:default": set()}
    (text,) = failures(await seen(Cluster([GOOD, config(), *INSTALLED], rights)))
    assert "argo retry fails at once" in text
    assert "accelchain argo install -n team --controller-account argo/default" in text


async def test_a_plugin_in_argos_own_namespace_is_a_trap() -> None:
    (text,) = failures(await seen(Cluster([GOOD, config(), *INSTALLED, *objects(Wanted("argo"))])))
    assert "kubectl -n argo delete configmap accelchain-executor-plugin" in text


async def test_agents_that_failed_are_told() -> None:
    def agent(name: str, status: JsonObject) -> JsonObject:
        labels = {"workflows.argoproj.io/component": "agent"}
        return {"kind": "Pod", "metadata": {"namespace": "team", "name": name, "labels": labels}, "status": status}

    def waiting(container: str, reason: str) -> JsonObject:
        return {
            "phase": "Running",
            "containerStatuses": [{"name": container, "state": {"waiting": {"reason": reason}}}],
        }

    pods = [
        agent("wf-a-agent", {"phase": "Failed"}),
        agent("wf-b-agent", waiting("main", "CrashLoopBackOff")),
        agent("wf-c-agent", waiting("accelchain", "ImagePullBackOff")),
        agent("wf-d-agent", {"phase": "Running"}),
    ]
    first, second, third = failures(await seen(Cluster([GOOD, config(), *INSTALLED, *pods])))
    assert "kubectl -n team delete pod wf-a-agent" in first
    assert "wf-b-agent" in second and "has not its rights" in second
    assert "wf-c-agent" in third and "ImagePullBackOff" in third


async def test_without_argo_there_is_one_thing_to_do() -> None:
    (verdict,) = await seen(Cluster([]))
    assert verdict.level == "FAIL" and "install Argo" in verdict.text


async def test_what_may_not_be_seen_is_unknown_and_not_wrong() -> None:
    kinds = ("deployments", "configmaps", "secrets", "serviceaccounts", "pods", "subjectaccessreviews")
    verdicts = await seen(Cluster([GOOD], forbidden=kinds))
    assert {verdict.level for verdict in verdicts} == {"WARN"}


async def test_an_api_without_deployments_has_no_argo() -> None:
    class Small(Cluster):
        def _check(self, type: ResourceType) -> None:
            if type.plural == "deployments":
                raise ApiError(404, "NotFound", "the server could not find the requested resource")

    assert [verdict.level for verdict in await seen(Small(INSTALLED))] == ["FAIL"]


async def test_an_api_that_fails_is_no_diagnosis() -> None:
    class Broken(Cluster):
        def _check(self, type: ResourceType) -> None:
            raise ApiError(500, "InternalError", "etcd is gone")

    with pytest.raises(ApiError):
        await seen(Broken([]))
