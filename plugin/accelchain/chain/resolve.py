# SPDX-License-Identifier: Apache-2.0
"""Validation: a DataFlow with its chain becomes a ResolvedFlow, or a list of everything that is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelchain.api.connection_type import ConnectionType
from accelchain.api.data_flow import DataFlow, DataFlowSpec
from accelchain.api.function_chain import FunctionChain, FunctionChainSpec
from accelchain.api.function_type import FunctionType
from accelchain.api.scheduling_strategy import SchedulingStrategy
from accelchain.chain.catalog import Catalog, check_type
from accelchain.chain.connections import find_edges, order_functions, resolve_connections
from accelchain.chain.devices import check_devices
from accelchain.chain.environment import Environment
from accelchain.chain.functions import Draft, draft_functions
from accelchain.chain.problems import Problems
from accelchain.chain.resolved import ChainError, Problem, ResolvedFlow, ResolvedFunction
from accelchain.chain.rules import check_lineage, check_rules, rate_for, rules_for
from accelchain.chain.template import Template, check_names, find_template
from accelchain.chain.unsupported import check_flow

__all__ = ["ChainError", "check_chain", "check_devices", "check_type", "resolve_flow"]


def resolve_flow(
    flow: DataFlow,
    *,
    chains: Mapping[str, FunctionChain],
    types: Sequence[FunctionType],
    connection_types: Mapping[str, ConnectionType],
    strategies: Mapping[str, SchedulingStrategy],
) -> ResolvedFlow:
    """Resolve every name and every reference of a flow.

    Args:
        flow: the DataFlow.
        chains: the FunctionChains of its namespace, by name.
        types: all function types. A name and version given twice: the first counts.
        connection_types: by name.
        strategies: by name.

    Returns:
        The flow with its functions in topological order, in the chain's order where that is free.

    Raises:
        ChainError: with all problems, in the order chain, addresses, functions, connections, placement, the rest.
    """
    problems, spec = Problems(), flow.spec
    template = find_template(spec, chains, problems)
    if template is None:
        check_flow(spec, problems)
        raise ChainError(problems.found())
    check_names(template, problems)
    environment = Environment(template, spec, problems)
    drafts = draft_functions(template, Catalog(types), environment, spec.function_parameters, problems)
    edges = find_edges(template, drafts, problems)
    order = order_functions(template, problems)
    connections = resolve_connections(edges, connection_types, spec.connection_parameters, problems)
    check_rules(spec, template, drafts, problems)
    check_lineage(spec, strategies, problems)
    check_flow(spec, problems)
    if found := problems.found():
        raise ChainError(found)
    return ResolvedFlow(
        functions=tuple(_resolved(drafts[name], spec) for name in order),
        connections=connections,
        chain_name=template.name,
        chain_generation=template.generation,
        artifacts={name: address.uri for name, address in spec.outputs.items()},
        rules=tuple(spec.placement.rules) if spec.placement is not None else (),
    )


def check_chain(spec: FunctionChainSpec, types: Sequence[FunctionType], path: str) -> tuple[Problem, ...]:
    """Return what is wrong with a chain by itself, whatever flows will fill in.

    Args:
        spec: the chain.
        types: all function types.
        path: the field that holds the chain: ``spec`` for a FunctionChain.
    """
    problems, template = Problems(), Template(spec, path)
    check_names(template, problems)
    environment = Environment(template, None, problems)
    drafts = draft_functions(template, Catalog(types), environment, (), problems)
    find_edges(template, drafts, problems)
    order_functions(template, problems)
    return problems.found()


def _resolved(draft: Draft, spec: DataFlowSpec) -> ResolvedFunction:
    rate, rate_path = rate_for(spec, draft.name)
    return ResolvedFunction(
        name=draft.name,
        type=draft.type.function,
        version=draft.type.spec.version,
        spec=draft.type.spec,
        parameters=draft.parameters,
        origins={name: sourced.origin for name, sourced in draft.values.items()},
        rate=rate,
        rules=rules_for(spec, draft.name),
        path=draft.path,
        rate_path=rate_path,
    )
