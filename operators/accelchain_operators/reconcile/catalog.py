# SPDX-License-Identifier: Apache-2.0
"""What flows refer to, in one moment; resolves a flow with it, and each version of a flow once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property

from pydantic import ValidationError

from accelchain.api import ConnectionType, DataFlow, FunctionChain, FunctionType, SchedulingStrategy
from accelchain.chain.resolve import ChainError, resolve_flow
from accelchain.chain.resolved import Problem, ResolvedFlow
from accelchain_operators.reconcile.actions import JsonObject
from accelchain_operators.reconcile.models import parse, parse_valid, problems_of

Resolution = ResolvedFlow | tuple[Problem, ...]
"""A flow with everything that it names, or why it can't be run."""

REMEMBERED = 2048
_resolved: OrderedDict[tuple[str, ...], Resolution] = OrderedDict()


class Catalog:
    """Chains (of all namespaces, or of the flows' one), types and strategies.

    A flow that waits is looked at with every event of every other flow, so what came of it is remembered for as long
    as neither its spec nor anything in the catalog changes. The answer is the same with and without the memory.
    """

    def __init__(
        self,
        chains: Iterable[JsonObject],
        types: Iterable[JsonObject],
        connection_types: Iterable[JsonObject],
        strategies: Iterable[JsonObject],
    ) -> None:
        self._chains: dict[str, list[JsonObject]] = {}
        for chain in chains:
            self._chains.setdefault(chain["metadata"].get("namespace") or "", []).append(chain)
        self._types = tuple(types)
        self._connection_types = tuple(connection_types)
        self._strategies = tuple(strategies)
        self._versions: dict[str, str] = {}

    @cached_property
    def types(self) -> list[FunctionType]:
        """All FunctionTypes that fit the model."""
        return parse_valid(FunctionType, self._types)

    @cached_property
    def strategies(self) -> dict[str, SchedulingStrategy]:
        """All SchedulingStrategies that fit the model, by name."""
        return {s.metadata.name: s for s in parse_valid(SchedulingStrategy, self._strategies)}

    def resolve(self, flow: JsonObject) -> Resolution:
        """Return the flow with everything resolved, or its problems."""
        namespace = flow["metadata"].get("namespace") or ""
        catalog, version = self._version(namespace), _version(flow)
        if not catalog or not version:
            return self._resolve(flow, namespace)
        key = (version, catalog)
        if (found := _resolved.get(key)) is None:
            found = _resolved[key] = self._resolve(flow, namespace)
            if len(_resolved) > REMEMBERED:
                _resolved.popitem(last=False)
        else:
            _resolved.move_to_end(key)
        return found

    def _resolve(self, flow: JsonObject, namespace: str) -> Resolution:
        try:
            return resolve_flow(
                parse(DataFlow, flow),
                chains={c.metadata.name: c for c in parse_valid(FunctionChain, self._chains.get(namespace, ()))},
                types=self.types,
                connection_types={c.metadata.name: c for c in parse_valid(ConnectionType, self._connection_types)},
                strategies=self.strategies,
            )
        except ValidationError as error:
            return (Problem("InvalidParameter", "spec", problems_of(error)),)
        except ChainError as error:
            return error.problems

    def _version(self, namespace: str) -> str:
        """Return a text that changes with every change of what a flow of the namespace can refer to; empty: unknown."""
        if (found := self._versions.get(namespace)) is None:
            objects = (*self._chains.get(namespace, ()), *self._types, *self._connection_types, *self._strategies)
            versions = [_version(obj) for obj in objects]
            found = self._versions[namespace] = " ".join(["catalog", *versions]) if all(versions) else ""
        return found


def _version(obj: JsonObject) -> str:
    """Return an object's uid and the generation of its spec; empty where it has none, as before it is created."""
    meta = obj["metadata"]
    return f"{meta['uid']}/{meta['generation']}" if meta.get("resourceVersion") and meta.get("generation") else ""
