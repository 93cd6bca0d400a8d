# SPDX-License-Identifier: Apache-2.0
"""``accelchain doctor --context …``: looks at a cluster's Argo, as far as the user may."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from accelchain.argo.install import (
    CONTROLLER_RULES,
    PLUGIN_CONFIG,
    PLUGIN_RULES,
    PLUGIN_TOKEN,
    WORKFLOW_RULES,
    Rule,
    token_secret,
)
from accelchain.cli.argo_diagnosis import ArgoState, config_name, controller_account, is_controller
from accelchain_operators.kube.access import may
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import CONFIG_MAP, POD, SECRET

_DEPLOYMENT: Final = ResourceType("apps/v1", "Deployment", "deployments")
_ACCOUNT: Final = ResourceType("v1", "ServiceAccount", "serviceaccounts")
_AGENTS: Final = "workflows.argoproj.io/component=agent"

T = TypeVar("T")


async def look(client: KubeClient, namespace: str, account: str) -> ArgoState:
    """Return what is seen of a cluster's Argo.

    Args:
        client: the API.
        namespace: where workflows run.
        account: their ServiceAccount.

    Raises:
        ApiError: the API can't be reached, or answers with another error than Forbidden and NotFound.
    """
    deployments = await _allowed(_list(client, _DEPLOYMENT))
    controllers = None if deployments is None else [d for d in deployments if is_controller(d)]
    operators = None if deployments is None else [d for d in deployments if _serves_tasksets(d)]
    config, places = None, {namespace}
    if controllers:
        argo = controllers[0]["metadata"]["namespace"]
        places.add(argo)
        found = await _allowed(_find(client, CONFIG_MAP, config_name(controllers[0]), argo))
        config = None if found is None else (found[0].get("data") or {}) if found else {}
    of, name = controller_account(controllers[0]) if controllers else ("", "")
    controller_lacks = await _allowed(_lacking(client, namespace, name, CONTROLLER_RULES, of)) if name else ()
    return ArgoState(
        namespace=namespace,
        account=account,
        controllers=controllers,
        config=config,
        plugin_configs={place: await _is_there(client, CONFIG_MAP, PLUGIN_CONFIG, place) for place in sorted(places)},
        accounts={name: await _is_there(client, _ACCOUNT, name, namespace) for name in (account, PLUGIN_CONFIG)},
        secrets={
            name: await _is_there(client, SECRET, name, namespace) for name in (token_secret(account), PLUGIN_TOKEN)
        },
        lacking={
            account: await _allowed(_lacking(client, namespace, account, WORKFLOW_RULES)),
            PLUGIN_CONFIG: await _allowed(_lacking(client, namespace, PLUGIN_CONFIG, PLUGIN_RULES)),
        },
        controller_lacks=controller_lacks,
        agents=await _allowed(_list(client, POD, namespace, _AGENTS)),
        operators=operators,
    )


def _serves_tasksets(deployment: JsonObject) -> bool:
    labels = deployment["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/part-of") == "accelchain" and deployment["metadata"]["name"].endswith(
        "-taskset"
    )


async def _list(
    client: KubeClient, kind: ResourceType, namespace: str | None = None, labels: str = ""
) -> list[JsonObject]:
    """Return the objects; none where the API does not have the kind."""
    try:
        return (await client.list(kind, namespace, label_selector=labels))[0]
    except ApiError as error:
        if error.code == 404:
            return []
        raise


async def _find(client: KubeClient, kind: ResourceType, name: str, namespace: str) -> list[JsonObject]:
    """Return the object, or nothing."""
    try:
        return [await client.get(kind, name, namespace)]
    except ApiError as error:
        if error.code == 404:
            return []
        raise


async def _is_there(client: KubeClient, kind: ResourceType, name: str, namespace: str) -> bool | None:
    found = await _allowed(_find(client, kind, name, namespace))
    return None if found is None else bool(found)


async def _lacking(client: KubeClient, namespace: str, account: str, rules: Sequence[Rule], of: str = "") -> list[Rule]:
    """Return the rights that a ServiceAccount (of the namespace, or of another one) has not in a namespace."""
    lacking = []
    for rule in rules:
        verbs = tuple(
            [verb for verb in rule.verbs if not await _may(client, namespace, account, rule, verb, of or namespace)]
        )
        if verbs:
            lacking.append(Rule(rule.group, rule.resource, verbs))
    return lacking


async def _may(client: KubeClient, namespace: str, account: str, rule: Rule, verb: str, of: str) -> bool:
    resource, _, subresource = rule.resource.partition("/")
    attributes = {"namespace": namespace, "group": rule.group, "resource": resource, "verb": verb}
    if subresource:
        attributes["subresource"] = subresource
    return await may(client, of, account, attributes)


async def _allowed(work: Awaitable[T]) -> T | None:
    """Return what a call finds; None: we may not make it."""
    try:
        return await work
    except ApiError as error:
        if error.code == 403:
            return None
        raise
