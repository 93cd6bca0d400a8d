# SPDX-License-Identifier: Apache-2.0
"""What a cluster's Argo needs for our steps, and what is missing: one sentence each, with what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from accelchain.argo.core.deadline import parse_duration
from accelchain.argo.install import PLUGIN_CONFIG, PLUGIN_TOKEN, Rule, token_secret

JsonObject = dict[str, Any]
Level = Literal["ok", "WARN", "FAIL"]

_REQUEUE: Final = "DEFAULT_REQUEUE_TIME"
_DEFAULT_REQUEUE: Final = 10.0
"""Seconds (argoproj/argo-workflows v4.1.2, workflow/controller/rate_limiters.go)."""
_SLOW: Final = 2.0
_BROKEN: Final = (
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "CreateContainerConfigError",
    "CreateContainerError",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of ``accelchain doctor``."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class ArgoState:
    """What is seen of a cluster; None: we may not look."""

    namespace: str
    """Where workflows run."""
    account: str
    """Their ServiceAccount."""
    controllers: Sequence[JsonObject] | None
    """Deployments of workflow-controllers."""
    config: JsonObject | None
    """Data of the controller's ConfigMap."""
    plugin_configs: Mapping[str, bool | None]
    """Whether our ConfigMap is there, by namespace."""
    accounts: Mapping[str, bool | None]
    """Whether a ServiceAccount is there, by name."""
    secrets: Mapping[str, bool | None]
    """Whether a Secret is there, by name."""
    lacking: Mapping[str, Sequence[Rule] | None]
    """Rights that a ServiceAccount has not, by its name."""
    controller_lacks: Sequence[Rule] | None
    """Rights that the controller's ServiceAccount has not where workflows run."""
    agents: Sequence[JsonObject] | None
    """Pods of Argo's agents."""
    operators: Sequence[JsonObject] | None
    """Deployments of the task-set operator."""


def diagnose(state: ArgoState) -> Iterator[Verdict]:
    """Yield what an administrator should know, the causes before their effects."""
    if state.controllers is None:
        yield Verdict("WARN", "Argo: you may not list deployments in this cluster; ask somebody who may to run this.")
    elif not state.controllers:
        yield Verdict("FAIL", "Argo: no workflow-controller is in this cluster: install Argo Workflows (docs/argo.md).")
        return
    controller = state.controllers[0] if state.controllers else None
    plugins = agentless = None
    if controller is not None:
        yield from _controller(state.controllers or ())
        plugins, agentless = _takes_plugins(controller), _is_agentless(state.config)
        yield from _requeue(controller)
        yield from _controller_rights(state, controller)
    operator = any(_ready(deployment) for deployment in state.operators or ())
    yield from _routes(state, plugins, agentless, operator)
    if not agentless:
        yield from _plugin(state)
        yield from _agents(state)
    if controller is not None:
        yield from _trap(state, controller["metadata"]["namespace"])
    yield from _account(state, needs_token=not agentless)


def _controller(controllers: Sequence[JsonObject]) -> Iterator[Verdict]:
    for deployment in controllers:
        meta = deployment["metadata"]
        images = [c["image"] for c in _containers(deployment) if _runs_controller(c)]
        yield Verdict(
            "ok" if _ready(deployment) else "FAIL",
            f"Argo: {meta['namespace']}/{meta['name']} ({', '.join(images)})"
            + ("" if _ready(deployment) else " has no replica that is ready: kubectl describe says why."),
        )
    if len(controllers) > 1:
        yield Verdict("WARN", "Argo: there are several controllers; what follows is about the first.")


def _requeue(controller: JsonObject) -> Iterator[Verdict]:
    text = _environment(controller).get(_REQUEUE, "")
    try:
        seconds = parse_duration(text) if text else _DEFAULT_REQUEUE
    except ValueError:
        yield Verdict("FAIL", f"{_REQUEUE}: '{text}' is no duration: set 1s.")
        return
    where = f"kubectl -n {controller['metadata']['namespace']} set env deployment/{controller['metadata']['name']}"
    if seconds > _SLOW:
        given = text or f"not set, so {seconds:g}s"
        yield Verdict(
            "WARN",
            f"{_REQUEUE} is {given}: Argo itself takes up to {2 * seconds:g} s for each step: {where} {_REQUEUE}=1s.",
        )
    else:
        yield Verdict("ok", f"{_REQUEUE} is {text}: Argo itself takes some {2 * seconds:g} s for a step")


def _controller_rights(state: ArgoState, controller: JsonObject) -> Iterator[Verdict]:
    account = "/".join(controller_account(controller))
    if state.controller_lacks is None:
        yield Verdict("WARN", f"Argo: you may not ask for the rights of its ServiceAccount {account}.")
    elif state.controller_lacks:
        lacks = "; ".join(map(str, state.controller_lacks))
        yield Verdict(
            "FAIL",
            f"Argo: its ServiceAccount {account} may not {lacks} in namespace {state.namespace}: steps that have ended "
            "stay in the TaskSet, the Workflow is written again and again, and argo retry fails at once: "
            f"accelchain argo install -n {state.namespace} --controller-account {account} | kubectl apply -f -",
        )


def _routes(state: ArgoState, plugins: bool | None, agentless: bool | None, operator: bool) -> Iterator[Verdict]:
    if state.operators is None:
        yield Verdict("WARN", "task-set operator: you may not list deployments; whether it runs is not known.")
    elif operator:
        yield Verdict("ok", "task-set operator: it runs, and ends of steps are pushed")
    elif agentless:
        yield Verdict(
            "FAIL",
            "task-set operator: Argo makes no agents (disableAgentPodCreation), and nobody else serves steps: "
            "install it (argo.taskset.enabled in the chart).",
        )
    if agentless:
        yield Verdict("ok", "disableAgentPodCreation: Argo leaves steps to the task-set operator; no agent is needed")
    elif plugins:
        yield Verdict("ok", "ARGO_EXECUTOR_PLUGINS: Argo takes plugins")
    elif plugins is not None:
        yield Verdict(
            "FAIL",
            "ARGO_EXECUTOR_PLUGINS: Argo takes no plugins: set it to true on the workflow-controller, or "
            "disableAgentPodCreation with the task-set operator, or rewrite steps with accelchain argo resource.",
        )


def _plugin(state: ArgoState) -> Iterator[Verdict]:
    install = f"accelchain argo install -n {state.namespace} | kubectl apply -f -"
    found = state.plugin_configs.get(state.namespace)
    if found is False:
        yield Verdict("FAIL", f"plugin: namespace {state.namespace} has no ConfigMap {PLUGIN_CONFIG}: {install}")
        return
    yield _seen(found, f"plugin: ConfigMap {PLUGIN_CONFIG}", state.namespace)
    account = state.accounts.get(PLUGIN_CONFIG)
    if account is False:
        yield Verdict("FAIL", f"plugin: ServiceAccount {PLUGIN_CONFIG} is missing, and steps end in Error: {install}")
    token = state.secrets.get(PLUGIN_TOKEN)
    if token is False:
        yield Verdict("FAIL", f"plugin: Secret {PLUGIN_TOKEN} is missing, and agents never start: {install}")
    yield from _rights(state, PLUGIN_CONFIG, "plugin", install)


def _account(state: ArgoState, needs_token: bool) -> Iterator[Verdict]:
    account = state.account
    install = f"accelchain argo install -n {state.namespace} --service-account {account} | kubectl apply -f -"
    if state.accounts.get(account) is False:
        yield Verdict("FAIL", f"workflows: ServiceAccount {account} is not in namespace {state.namespace}: create it.")
        return
    if needs_token and state.secrets.get(token_secret(account)) is False:
        yield Verdict(
            "FAIL",
            f"workflows: Secret {token_secret(account)} is missing; agents hang in Init:0/1 and steps stay Pending: "
            f"{install}",
        )
    yield from _rights(state, account, "workflows", install)


def _rights(state: ArgoState, account: str, what: str, install: str) -> Iterator[Verdict]:
    lacking = state.lacking.get(account)
    if lacking is None:
        yield Verdict(
            "WARN", f"{what}: you may not ask for the rights of ServiceAccount {account}; they are not known."
        )
    elif lacking:
        missing = "; ".join(map(str, lacking))
        yield Verdict("FAIL", f"{what}: ServiceAccount {account} may not {missing}: {install}")
    else:
        yield Verdict("ok", f"{what}: ServiceAccount {account} has its rights in namespace {state.namespace}")


def _trap(state: ArgoState, argo: str) -> Iterator[Verdict]:
    if argo != state.namespace and state.plugin_configs.get(argo):
        yield Verdict(
            "FAIL",
            f"plugin: it is in Argo's own namespace {argo} too, which puts it into every agent of the cluster (twice "
            f"here, and without a ServiceAccount elsewhere): kubectl -n {argo} delete configmap {PLUGIN_CONFIG}",
        )


def _agents(state: ArgoState) -> Iterator[Verdict]:
    for pod in state.agents or ():
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        delete = f"kubectl -n {state.namespace} delete pod {name}"
        if status.get("phase") == "Failed":
            yield Verdict("FAIL", f"agent {name} has failed, and Argo makes no other one while it is there: {delete}")
            continue
        containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        for container in containers:
            reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
            if reason in _BROKEN:
                hint = (
                    " (main: the workflow's ServiceAccount has not its rights)" if container["name"] == "main" else ""
                )
                yield Verdict("FAIL", f"agent {name}: container {container['name']} is in {reason}{hint}.")


def _seen(found: bool | None, what: str, namespace: str) -> Verdict:
    if found is None:
        return Verdict("WARN", f"{what}: you may not look into namespace {namespace}; it is not known.")
    return Verdict("ok", f"{what} is in namespace {namespace}")


def _takes_plugins(controller: JsonObject) -> bool:
    if _environment(controller).get("ARGO_EXECUTOR_PLUGINS", "").lower() in ("true", "1", "t"):
        return True
    arguments = [a for c in _containers(controller) for a in (*(c.get("command") or ()), *(c.get("args") or ()))]
    return any(argument in ("--executor-plugins", "--executor-plugins=true") for argument in arguments)


def _is_agentless(config: JsonObject | None) -> bool | None:
    if config is None:
        return None
    whole = str(config.get("config", ""))
    found = re.search(r"^disableAgentPodCreation:\s*[\"']?(\w+)", whole, re.M)
    return str(config.get("disableAgentPodCreation", found[1] if found else "")).lower() == "true"


def is_controller(deployment: JsonObject) -> bool:
    """Tell whether a Deployment runs Argo's workflow-controller."""
    return any(_runs_controller(container) for container in _containers(deployment))


def config_name(controller: JsonObject) -> str:
    """Return the name of a controller's ConfigMap."""
    arguments = [str(a) for c in _containers(controller) for a in c.get("args") or ()]
    for i, argument in enumerate(arguments):
        if argument.startswith("--configmap="):
            return argument.partition("=")[2]
        if argument == "--configmap" and i + 1 < len(arguments):
            return arguments[i + 1]
    return "workflow-controller-configmap"


def controller_account(controller: JsonObject) -> tuple[str, str]:
    """Return namespace and name of the ServiceAccount that a controller runs as."""
    name = controller["spec"]["template"]["spec"].get("serviceAccountName") or "default"
    return controller["metadata"]["namespace"], name


def _runs_controller(container: JsonObject) -> bool:
    command = " ".join(map(str, container.get("command") or ()))
    return "workflow-controller" in command or "workflow-controller" in str(container.get("image", ""))


def _containers(deployment: JsonObject) -> list[JsonObject]:
    return list(deployment["spec"]["template"]["spec"].get("containers") or ())


def _environment(deployment: JsonObject) -> dict[str, str]:
    return {e["name"]: str(e.get("value", "")) for c in _containers(deployment) for e in c.get("env") or ()}


def _ready(deployment: JsonObject) -> bool:
    return bool((deployment.get("status") or {}).get("readyReplicas"))
