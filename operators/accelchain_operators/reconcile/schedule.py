# SPDX-License-Identifier: Apache-2.0
"""Which flows get devices, and which wait: all flows at once, so that nothing is taken twice.

A flow is decided on when its spec was accepted as it is now, it is neither finished nor being deleted, and it has no
placement. Decisions go by age, then by namespace and name. There is no queue behind a flow that waits: younger ones
that fit go first, and so a large flow can wait for long where small ones keep coming.

A placement counts as taken until its flow is finished or being deleted. As long as the flow does not run it is decided
anew where a device of it has vanished, where its node is stale, or where spec or chain were changed and accepted again;
every attempt is placed anew; and it is taken back where the flow is refused by now, or suspended. A running flow keeps
what it has. A dry run is placed, and takes nothing from others. A paused flow is left as it is.

What a waiting flow lacks changes with every flow that begins or ends. Its message follows that when ``messages_due``
(at most once in MESSAGE_PERIOD), or n waiting flows would be written n times.

The field manager of this reconciler owns the condition Scheduled and the placement, nothing else of the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from accelchain.api import ComputeResource, DataFlow
from accelchain.api.data_flow_status import FunctionPlacement
from accelchain.api.summary import summary
from accelchain.chain.resolved import ResolvedFlow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, ApplyStatus, JsonObject
from accelchain_operators.reconcile.catalog import Catalog
from accelchain_operators.reconcile.models import parse, parse_valid
from accelchain_operators.reconcile.names import is_paused
from accelchain_operators.scheduler.demand import quantity_bytes
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Decision, Request, place
from accelchain_operators.scheduler.strategy import Strategy

Objects = tuple[JsonObject, ...]

MESSAGE_PERIOD = 10.0
"""Seconds between two updates of the messages of flows that wait."""
NOT_ACCEPTED = "the flow is refused (see Accepted), and its devices are free for others"
SUSPENDED = "the flow is suspended (spec.suspend) and holds no devices"


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """Everything that decisions depend on, of all namespaces."""

    flows: Objects = ()
    chains: Objects = ()
    types: Objects = ()
    connection_types: Objects = ()
    strategies: Objects = ()
    resources: Objects = ()
    stale_nodes: frozenset[str] = frozenset()
    """Nodes whose agent has not been heard of for long, or that are not ready: nothing new is placed there."""
    messages_due: bool = True
    """Whether messages may be written where nothing but the message changed."""


def reconcile(snapshot: ScheduleSnapshot) -> Actions:
    """Return a status for every flow whose answer changed; nothing at rest."""
    resources = [
        resource
        for resource in parse_valid(ComputeResource, snapshot.resources)
        if resource.spec.node_name not in snapshot.stale_nodes
    ]
    devices = {(resource.spec.node_name, device.name) for resource in resources for device in resource.spec.devices}
    flows = [flow for flow in snapshot.flows if not _is_over(flow)]
    free = [flow for flow in flows if not is_paused(flow)]
    undecided = sorted((flow for flow in free if _needs_decision(flow, devices)), key=_age)
    released = {_key(flow): decision for flow in free if (decision := _release(flow)) is not None}
    if not undecided and not released:
        return Actions()
    catalog = Catalog(snapshot.chains, snapshot.types, snapshot.connection_types, snapshot.strategies)
    decisions = _decide(undecided, [f for f in flows if _key(f) not in released], resources, catalog) | released
    answers = [(flow, decision) for flow in free if (decision := decisions.get(_key(flow))) is not None]
    changed = [(flow, decision) for flow, decision in answers if not _says(flow, decision)]
    due = [
        (flow, decision) for flow, decision in changed if snapshot.messages_due or not _says(flow, decision, "message")
    ]
    later = MESSAGE_PERIOD if len(due) < len(changed) else None
    return Actions((tuple(_write(flow, decision) for flow, decision in due),) if due else (), later)


def _decide(
    undecided: list[JsonObject], flows: list[JsonObject], resources: list[ComputeResource], catalog: Catalog
) -> dict[str, Decision]:
    """Return where flows go, with what all others hold in view.

    A dry run is placed as if it came last, and holds nothing.
    """
    open_keys = {_key(flow) for flow in undecided}
    held = _Held(catalog)
    taken = [entry for f in flows if _key(f) not in open_keys and not _is_dry(f) for entry in held.by(f)]

    def inventory() -> Inventory:
        return Inventory.of(resources, [placement for placement, _ in taken], [memory for _, memory in taken])

    real = [request for f in undecided if not _is_dry(f) and (request := _request(f, catalog)) is not None]
    decisions = {decision.key: decision for decision in place(real, inventory())}
    for flow in undecided:
        if (decision := decisions.get(_key(flow))) is not None:
            taken.extend(held.of(flow, decision.placement))
    for flow in undecided:
        if _is_dry(flow) and (request := _request(flow, catalog)) is not None:
            (decisions[_key(flow)],) = place([request], inventory())
    return decisions


def _key(flow: JsonObject) -> str:
    return f"{flow['metadata']['namespace']}/{flow['metadata']['name']}"


def _age(flow: JsonObject) -> tuple[str, str, str]:
    meta = flow["metadata"]
    return (meta.get("creationTimestamp", ""), meta["namespace"], meta["name"])


def _is_over(flow: JsonObject) -> bool:
    finished = states.is_true(flow, "Succeeded") or states.is_true(flow, "Failed")
    return finished or "deletionTimestamp" in flow["metadata"]


def _attempt(flow: JsonObject) -> int:
    return int((flow.get("status") or {}).get("attempt") or 1)


def _placement(flow: JsonObject) -> list[JsonObject]:
    return (flow.get("status") or {}).get("placement") or []


def _is_dry(flow: JsonObject) -> bool:
    return bool(flow["spec"].get("dryRun"))


def _release(flow: JsonObject) -> Decision | None:
    """Return the decision to give devices back, or not to look for any; None where there is no such reason."""
    if states.condition_of(flow, "Accepted").get("status") == "False":
        return Decision(_key(flow), (), "NotAccepted", NOT_ACCEPTED) if _placement(flow) else None
    if _is_suspended(flow):
        return Decision(_key(flow), (), "Suspended", SUSPENDED)
    return None


def _is_suspended(flow: JsonObject) -> bool:
    """Tell whether a suspended flow's worker has ended: until then its devices are in use."""
    return bool(states.condition_of(flow, "Running").get("reason") == "Suspended")


def _needs_decision(flow: JsonObject, devices: set[tuple[str, str]]) -> bool:
    """Tell whether a flow that is not over is to be placed, for the first time or again."""
    if not states.is_true(flow, "Accepted") or _is_suspended(flow):
        return False
    generation = flow["metadata"]["generation"]
    current = bool(states.accepted_generation(flow) == generation)
    placement = _placement(flow)
    if not placement or states.placed_attempt(flow) != _attempt(flow):
        return current  # a new attempt is placed anew
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
        """Yield each placement of a flow with the bytes that it holds of its device."""
        return self.of(flow, [FunctionPlacement.model_validate(entry) for entry in _placement(flow)])

    def of(self, flow: JsonObject, placement: Iterable[FunctionPlacement]) -> Iterator[tuple[FunctionPlacement, int]]:
        """Yield each of these placements of a flow with the bytes that it holds of its device.

        A function whose type is gone, or has another version by now, counts with its load and its place only.
        """
        chain = (flow.get("status") or {}).get("chain") or {}
        types = {function["name"]: function["type"] for function in chain.get("functions") or ()}
        for entry in placement:
            yield entry, self._memory.get((types.get(entry.function, ""), entry.version, entry.implementation), 0)


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
    placed = [entry.to_dict() for entry in decision.placement]
    return same and _placement(flow) == placed and (not placed or states.placed_attempt(flow) == _attempt(flow))


def _write(flow: JsonObject, decision: Decision) -> ApplyStatus:
    status: JsonObject = {"conditions": [_condition(flow, decision)]}
    if decision.placement:
        status["placement"] = [entry.to_dict() for entry in decision.placement]
        status["deviceNames"] = _device_names(decision.placement)
        status["placedAttempt"] = _attempt(flow)
    return states.apply_status(flow, status)


def _device_names(placement: Iterable[FunctionPlacement]) -> str:
    """Return the devices in one line, with their nodes where there are several."""
    places = [(entry.node, entry.device) for entry in placement]
    one_node = len({node for node, _ in places}) == 1
    return summary(device if one_node else f"{node}/{device}" for node, device in places)
