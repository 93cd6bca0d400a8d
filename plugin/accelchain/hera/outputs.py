# SPDX-License-Identifier: Apache-2.0
"""What a chain's template gives to later steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hera.workflows import Artifact
from hera.workflows.models import Outputs, Parameter, SuppliedValueFrom, ValueFrom


@dataclass(frozen=True, slots=True)
class Result:
    """An output parameter."""

    name: str
    source: str
    default: str | None = None
    global_name: str | None = None

    def parameter(self) -> Parameter:
        """Return it as Argo declares it."""
        value_from = ValueFrom(default=self.default, supplied=SuppliedValueFrom())
        return Parameter(name=self.name, global_name=self.global_name, value_from=value_from)


def declared_outputs(
    outputs: Outputs | None, results: Iterable[Result], artifacts: Iterable[Artifact]
) -> Outputs | None:
    """Return a template's outputs with results and artifacts; a result takes the place of a plain one of its name."""
    made = outputs.model_copy() if outputs is not None else Outputs()
    own = {result.name: result.parameter() for result in results}
    made.parameters = [*(p for p in made.parameters or [] if p.name not in own), *own.values()] or None
    made.artifacts = [*(made.artifacts or []), *(artifact._build_artifact() for artifact in artifacts)] or None
    return made if made.parameters or made.artifacts else None
