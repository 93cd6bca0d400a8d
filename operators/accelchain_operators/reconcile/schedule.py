# SPDX-License-Identifier: Apache-2.0
"""Which flows get devices, and which wait: all flows at once, so that nothing is taken twice.

A flow is decided on when its spec was accepted as it is now, it is neither finished nor being deleted, and it has no
placement. Decisions go by age, then by namespace and name. There is no queue behind a flow that waits: younger ones
that fit go first, and so a large flow can wait for long where small ones keep coming.

A placement counts as taken until its flow is finished or being deleted. As long as the flow does not run it is decided
anew where a device of it has vanished, or where the spec was changed and accepted again. A running flow keeps what it
has.

The field manager of this reconciler owns the condition Scheduled and the placement, nothing else of the status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from accelchain.api import ComputeResource, ConnectionType, DataFlow, FunctionChain, FunctionType, SchedulingStrategy
from accelchain.api.data_flow import FunctionPlacement
from accelchain.chain.resolve import ChainError, resolve_flow
from accelchain_operators.reconcile import status as states
from accelchain_operators.reconcile.actions import Actions, ApplyStatus, JsonObject
from accelchain_operators.reconcile.models import parse, parse_valid
from accelchain_operators.scheduler.demand import quantity_bytes
from accelchain_operators.scheduler.inventory import Inventory
from accelchain_operators.scheduler.place import Decision, Request, place
from accelchain_operators.scheduler.strategy import Strategy

Objects = tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """Everything that decisions depend on, of all namespaces."""

    flows: Objects = ()
    chains: Objects = ()
    types: Objects = ()
    connection_types: Objects = ()
    strategies: Objects = ()
    resources: Objects = ()


def reconcile(snapshot: ScheduleSnapshot) -> Actions:
    """Return a status for every flow whose answer changed; nothing at rest."""
    resources = parse_valid(ComputeResource, snapshot.resources)
    devices = {(resource.spec.node_name, device.name) for resource in resources for device in resource.spec.devices}
    flows = [flow for flow in snapshot.flows if not _is_over(flow)]
    undecided = sorted((flow for flow in flows if _needs_decision(flow, devices)), key=_age)
    if not undecided:
        return Actions()
    catalog = _Catalog(snapshot)
    open_keys = {_key(flow) for flow in undecided}
    taken = [entry for flow in flows if _key(flow) not in open_keys for entry in catalog.taken(flow)]
    inventory = Inventory.of(resources, [placement for placement, _ in taken], [memory for _, memory in taken])
    requests: list[Request] = []
    for flow in undecided:
        try:
            requests.append(catalog.request(flow))
        except (ChainError, ValidationError):
            continue  # it, or what it names, changed after it was accepted: the dataflow controller refuses it
    decisions = {decision.key: decision for decision in place(requests, inventory)}
    writes = tuple(
        _write(flow, decisions[_key(flow)])
        for flow in undecided
        if _key(flow) in decisions and not _says(flow, decisions[_key(flow)])
    )
    return Actions((writes,)) if writes else Actions()


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


def _needs_decision(flow: JsonObject, devices: set[tuple[str, str]]) -> bool:
    """Tell whether a flow that is not over is to be placed, for the first time or again."""
    generation = flow["metadata"]["generation"]
    if not states.is_true(flow, "Accepted") or states.accepted_generation(flow) != generation:
        return False
    placement = _placement(flow)
    if not placement:
        return True
    if states.is_true(flow, "Running"):
        return False
    vanished = any((entry["node"], entry["device"]) not in devices for entry in placement)
    return vanished or states.condition_of(flow, "Scheduled").get("observedGeneration", generation) != generation


class _Catalog:
    """What flows refer to."""

    def __init__(self, snapshot: ScheduleSnapshot) -> None:
        self._types = parse_valid(FunctionType, snapshot.types)
        self._connection_types = {c.metadata.name: c for c in parse_valid(ConnectionType, snapshot.connection_types)}
        self._strategies = {s.metadata.name: s for s in parse_valid(SchedulingStrategy, snapshot.strategies)}
        self._chains: dict[str, dict[str, FunctionChain]] = {}
        for chain in parse_valid(FunctionChain, snapshot.chains):
            self._chains.setdefault(chain.metadata.namespace or "", {})[chain.metadata.name] = chain
        self._memory: Mapping[tuple[str, str, str], int] = {
            (type_.function, type_.spec.version, implementation.name): quantity_bytes(implementation.memory)
            for type_ in reversed(self._types)
            for implementation in type_.spec.implementations
        }

    def request(self, flow: JsonObject) -> Request:
        """Return what the flow asks for.

        Raises:
            ChainError: it would not be accepted any more (its strategy's line is checked there, too).
            pydantic.ValidationError: it does not fit the model any more.
        """
        model = parse(DataFlow, flow)
        resolved = resolve_flow(
            model,
            chains=self._chains.get(flow["metadata"]["namespace"], {}),
            types=self._types,
            connection_types=self._connection_types,
            strategies=self._strategies,
        )
        name = model.spec.strategy_ref.name if model.spec.strategy_ref else None
        return Request(_key(flow), resolved, Strategy.resolve(name, self._strategies))

    def taken(self, flow: JsonObject) -> Iterator[tuple[FunctionPlacement, int]]:
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


def _says(flow: JsonObject, decision: Decision) -> bool:
    """Tell whether the flow's status says this already."""
    old = states.condition_of(flow, "Scheduled")
    same = {**old, **_condition(flow, decision)} == old
    return same and _placement(flow) == [entry.to_dict() for entry in decision.placement]


def _write(flow: JsonObject, decision: Decision) -> ApplyStatus:
    status: JsonObject = {"conditions": [_condition(flow, decision)]}
    if decision.placement:
        status["placement"] = [entry.to_dict() for entry in decision.placement]
    return states.apply_status(flow, status)
