# SPDX-License-Identifier: Apache-2.0
"""Which flows get devices, and which wait: all flows at once, so that nothing is taken twice.

A flow is decided on when its spec was accepted as it is now, it is neither finished nor being deleted, and it has no
placement. Decisions go by age, then by namespace and name. There is no queue behind a flow that waits: younger ones
that fit go first, and so a large flow can wait for long where small ones keep coming.

A placement counts as taken until its flow is finished or being deleted. As long as the flow does not run it is decided
anew where a device of it has vanished, or where spec or chain were changed and accepted again, and taken back where the
flow is refused by now. A running flow keeps what it has.

What a waiting flow lacks changes with every flow that begins or ends. Its message follows that when ``messages_due``
(at most once in MESSAGE_PERIOD), or n waiting flows would be written n times.

The field manager of this reconciler owns the condition Scheduled and the placement, nothing else of the status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.chain.resolved import ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, ApplyStatus, JsonObject
from accelchain_operators.reconcile.catalog import Catalog
from accelchain_operators.reconcile.models import parse, parse_valid
from accelchain_operators.scheduler.demand import quantity_bytes
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Decision, Request, place
from accelchain_operators.scheduler.strategy import Strategy

Objects = tuple[JsonObject, ...]

MESSAGE_PERIOD = 10.0
"""Seconds between two updates of the messages of flows that wait."""
NOT_ACCEPTED = "the flow is refused (see Accepted), and its devices are free for others"


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """Everything that decisions depend on, of all namespaces."""

    flows: Objects = ()
    chains: Objects = ()
    types: Objects = ()
    connection_types: Objects = ()
    strategies: Objects = ()
    resources: Objects = ()
    messages_due: bool = True
    """Whether messages may be written where nothing but the message changed."""


def reconcile(snapshot: ScheduleSnapshot) -> Actions:
    """Return a status for every flow whose answer changed; nothing at rest."""
    resources = parse_valid(ComputeResource, snapshot.resources)
    devices = {(resource.spec.node_name, device.name) for resource in resources for device in resource.spec.devices}
    flows = [flow for flow in snapshot.flows if not _is_over(flow)]
    undecided = sorted((flow for flow in flows if _needs_decision(flow, devices)), key=_age)
    refused = [flow for flow in flows if _placement(flow) and _is_refused(flow)]
    if not undecided and not refused:
        return Actions()
    catalog = Catalog(snapshot.chains, snapshot.types, snapshot.connection_types, snapshot.strategies)
    open_keys = {_key(flow) for flow in (*undecided, *refused)}
    held = _Held(catalog)
    taken = [entry for flow in flows if _key(flow) not in open_keys for entry in held.by(flow)]
    inventory = Inventory.of(resources, [placement for placement, _ in taken], [memory for _, memory in taken])
    requests = [request for flow in undecided if (request := _request(flow, catalog)) is not None]
    decisions = {decision.key: decision for decision in place(requests, inventory)}
    decisions |= {_key(flow): Decision(_key(flow), (), "NotAccepted", NOT_ACCEPTED) for flow in refused}
    changed = [
        (flow, decision)
        for flow in (*undecided, *refused)
        if (decision := decisions.get(_key(flow))) is not None and not _says(flow, decision)
    ]
    due = [
        (flow, decision) for flow, decision in changed if snapshot.messages_due or not _says(flow, decision, "message")
    ]
    later = MESSAGE_PERIOD if len(due) < len(changed) else None
    return Actions((tuple(_write(flow, decision) for flow, decision in due),) if due else (), later)


def _key(flow: JsonObject) -> str:
    return f"{flow['metadata']['namespace']}/{flow['metadata']['name']}"


def _age(flow: JsonObject) -> tuple[str, str, str]:
    meta = flow["metadata"]
    return (meta.get("creationTimestamp", ""), meta["namespace"], meta["name"])


def _is_over(flow: JsonObject) -> bool:
    finished = states.is_true(flow, "Succeeded") or states.is_true(flow, "Failed")
    return finished or "deletionTimestamp" in flow["metadata"]


def _placement(flow: JsonObject) -> list[JsonObject]:
    return (flow.get("status") or {}).get("placement") or []


def _is_refused(flow: JsonObject) -> bool:
    return bool(states.condition_of(flow, "Accepted").get("status") == "False")


def _needs_decision(flow: JsonObject, devices: set[tuple[str, str]]) -> bool:
    """Tell whether a flow that is not over is to be placed, for the first time or again."""
    if not states.is_true(flow, "Accepted"):
        return False
    generation = flow["metadata"]["generation"]
    current = bool(states.accepted_generation(flow) == generation)
    placement = _placement(flow)
    if not placement:
        return current
    if states.is_true(flow, "Running"):
        return False
    if any((entry["node"], entry["device"]) not in devices for entry in placement):
        return True  # a change of the spec that came after the plan is accepted once that plan is given up
    if not current:
        return False
    accepted = {function["name"] for function in ((flow["status"].get("chain") or {}).get("functions") or ())}
    if accepted != {entry["function"] for entry in placement}:
        return True  # the FunctionChain was changed, and accepted again without a change of the flow
    return bool(states.condition_of(flow, "Scheduled").get("observedGeneration", generation) != generation)


def _request(flow: JsonObject, catalog: Catalog) -> Request | None:
    """Return what the flow asks for; None: it, or what it names, changed after it was accepted.

    The dataflow controller refuses it then.
    """
    resolved = catalog.resolve(flow)
    if not isinstance(resolved, ResolvedFlow):
        return None
    strategy = parse(DataFlow, flow).spec.strategy_ref
    return Request(_key(flow), resolved, Strategy.resolve(strategy.name if strategy else None, catalog.strategies))


class _Held:
    """What flows hold of devices."""

    def __init__(self, catalog: Catalog) -> None:
        self._memory = {
            (type_.function, type_.spec.version, implementation.name): quantity_bytes(implementation.memory)
            for type_ in reversed(catalog.types)
            for implementation in type_.spec.implementations
        }

    def by(self, flow: JsonObject) -> Iterator[tuple[FunctionPlacement, int]]:
        """Yield each placement of a flow with the bytes that it holds of its device.

        A function whose type is gone, or has another version by now, counts with its load and its place only.
        """
        chain = (flow.get("status") or {}).get("chain") or {}
        types = {function["name"]: function["type"] for function in chain.get("functions") or ()}
        for entry in _placement(flow):
            placement = FunctionPlacement.model_validate(entry)
            key = (types.get(placement.function, ""), placement.version, placement.implementation)
            yield placement, self._memory.get(key, 0)


def _condition(flow: JsonObject, decision: Decision) -> JsonObject:
    return {
        "type": "Scheduled",
        "status": "True" if decision.placement else "False",
        "reason": decision.reason,
        "message": decision.message[: states.LONGEST_MESSAGE],
        "observedGeneration": flow["metadata"]["generation"],
    }


def _says(flow: JsonObject, decision: Decision, but: str = "") -> bool:
    """Tell whether the flow's status says this already, one field of the condition left aside."""
    old = states.condition_of(flow, "Scheduled")
    same = all(old.get(field) == value for field, value in _condition(flow, decision).items() if field != but)
    return same and _placement(flow) == [entry.to_dict() for entry in decision.placement]


def _write(flow: JsonObject, decision: Decision) -> ApplyStatus:
    status: JsonObject = {"conditions": [_condition(flow, decision)]}
    if decision.placement:
        status["placement"] = [entry.to_dict() for entry in decision.placement]
    return states.apply_status(flow, status)
