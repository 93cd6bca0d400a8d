# SPDX-License-Identifier: Apache-2.0
"""The chain that a flow runs, and how its fields are called in messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accelchain.api.data_flow import DataFlowSpec
from accelchain.api.function_chain import FunctionChain, FunctionChainSpec
from accelchain.chain.problems import Problems, choose
from accelchain.chain.values import check_declarations


@dataclass(frozen=True, slots=True)
class Template:
    """A chain before values are filled in."""

    spec: FunctionChainSpec
    path: str
    """``spec.chain``, or ``FunctionChain/person-detection spec``."""
    name: str = ""
    generation: int = 0

    def function_path(self, index: int) -> str:
        """Return the field of a function."""
        return f"{self.path}.functions[{index}]"

    def connection_path(self, index: int) -> str:
        """Return the field of a connection."""
        return f"{self.path}.connections[{index}]"


def find_template(spec: DataFlowSpec, chains: Mapping[str, FunctionChain], problems: Problems) -> Template | None:
    """Return the flow's chain: its own, or the one it refers to. None, and a problem, where there is none."""
    if (spec.chain is None) == (spec.chain_ref is None):
        problems.add("UnknownChain", "spec", "give exactly one of chain (the chain itself) and chainRef (its name).")
        return None
    if spec.chain is not None:
        return Template(spec.chain, "spec.chain")
    assert spec.chain_ref is not None
    name = spec.chain_ref.name
    if name not in chains:
        problems.add(
            "UnknownChain", "spec.chainRef.name", f"there is no FunctionChain '{name}': {choose(name, chains)}"
        )
        return None
    chain = chains[name]
    return Template(chain.spec, f"FunctionChain/{name} spec", name, chain.metadata.generation)


def check_names(template: Template, problems: Problems) -> None:
    """Check that names within the chain are unique, and the declarations of its parameters."""
    spec, path = template.spec, template.path
    check_declarations(spec.parameters, f"{path}.parameters", problems)
    _check_unique((e.name for e in spec.inputs), f"{path}.inputs", "input", problems)
    _check_unique((e.name for e in spec.outputs), f"{path}.outputs", "output", problems)
    _check_unique((f.name for f in spec.functions), f"{path}.functions", "function", problems)


def _check_unique(names: Iterable[str], path: str, what: str, problems: Problems) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            problems.add("DuplicateName", f"{path}[{i}].name", f"another {what} is called '{name}': rename one.")
        seen.add(name)
