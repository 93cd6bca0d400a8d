# SPDX-License-Identifier: Apache-2.0
"""What a ServiceAccount may do: whoever may create a WorkflowTaskSet must not borrow the operator's rights with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from accelchain.argo.install import WORKFLOW_ROLE
from accelchain_operators.kube.client import ApiError, JsonObject, KubeClient, ResourceType
from accelchain_operators.kube.kinds import DATA_FLOW
from accelchain_operators.reconcile.taskset_state import Access

logger = logging.getLogger(__name__)

REVIEW = ResourceType("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
REMEMBERED = 60.0
"""Seconds that an answer holds."""
BELIEVED = 1.5
"""Seconds for which a ServiceAccount has to be refused: its Role may come together with the Workflow."""
UNABLE = 30.0
"""Seconds for which we have to be refused ourselves: an API server that starts refuses all until it knows its Roles."""


@dataclass(slots=True)
class _Answer:
    allowed: bool
    message: str
    asked_at: float
    refused_since: float


class AccessReviews:
    """Asks the API, and remembers.

    Args:
        client: The API.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._answers: dict[tuple[str, str], _Answer] = {}

    async def may_create_flows(self, namespace: str, account: str) -> Access:
        """Tell whether a ServiceAccount may create DataFlows in its namespace.

        Raises:
            ApiError: the API does not answer.
        """
        now = asyncio.get_running_loop().time()
        known = self._answers.get((namespace, account))
        if known is not None and known.allowed and now - known.asked_at < REMEMBERED:
            return Access(True)
        allowed, message, believed = await self._ask(namespace, account)
        since = known.refused_since if known is not None and not known.allowed else now
        if now - since > REMEMBERED:
            since = now  # of another Workflow, long ago
        self._answers[namespace, account] = _Answer(allowed, message, now, since)
        self._forget(now)
        return Access(allowed, message, is_final=allowed or now - since >= believed)

    async def _ask(self, namespace: str, account: str) -> tuple[bool, str, float]:
        """Return the answer, why it is no, and for how long (s) it has to be no."""
        attributes = {"namespace": namespace, "verb": "create", "group": "accelchain.io", "resource": DATA_FLOW.plural}
        try:
            allowed = await may(self._client, namespace, account, attributes)
        except ApiError as error:
            if error.code != 403:
                raise
            logger.warning("what ServiceAccounts may do can't be asked: %s", error)
            message = f"the task-set operator lacks a right: apply accelchain's manifests anew ({error.message})"
            return False, message, UNABLE
        return (True, "", 0.0) if allowed else (False, _advice(namespace, account), BELIEVED)

    def _forget(self, now: float) -> None:
        for key in [key for key, known in self._answers.items() if now - known.asked_at > REMEMBERED]:
            del self._answers[key]


async def may(client: KubeClient, namespace: str, account: str, attributes: Mapping[str, str]) -> bool:
    """Tell whether a ServiceAccount may do something.

    Args:
        client: The API.
        namespace: The ServiceAccount's.
        account: Its name.
        attributes: What it would do: ``resourceAttributes`` of a SubjectAccessReview.

    Raises:
        ApiError: the API does not answer, or we may not ask.
    """
    spec = {
        "user": f"system:serviceaccount:{namespace}:{account}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
        "resourceAttributes": dict(attributes),
    }
    review: JsonObject = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind, "metadata": {}, "spec": spec}
    answer = await client.create(REVIEW, review)
    return bool((answer.get("status") or {}).get("allowed"))


def _advice(namespace: str, account: str) -> str:
    role = WORKFLOW_ROLE
    return (
        f"ServiceAccount {account} of this Workflow may not create dataflows.accelchain.io in namespace {namespace}: "
        f"kubectl create role {role} -n {namespace} --verb=create,get --resource=dataflows.accelchain.io && "
        f"kubectl create rolebinding {role}-{account} -n {namespace} --role={role} "
        f"--serviceaccount={namespace}:{account}"
    )
