# SPDX-License-Identifier: Apache-2.0
"""A chain as ordinary pods: one container template a function, which hand over files, in a DAG template."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hera.workflows import DAG, Artifact, Task, Workflow
from hera.workflows._context import _context
from hera.workflows.models import (
    ArchiveStrategy,
    Arguments,
    Container,
    Inputs,
    Metadata,
    NoneStrategy,
    Outputs,
    Parameter,
    Template,
)
from hera.workflows.models import Artifact as ModelArtifact

from accelchain.api.function_type import FunctionType
from accelchain.argo.core.artifacts import FILE_ENDINGS
from accelchain.chain.references import as_text
from accelchain.chain.values import is_address
from accelchain.hera.draft import Draft, Function
from accelchain.hera.errors import CompositionError

if TYPE_CHECKING:
    from accelchain.hera.chain import Chain

IMAGE = "accelchain-worker:0.1.0"
"""The worker's image, which holds ``accelchain step``."""
FUNCTION = "accelchain.io/function"
EPHEMERAL = "accelchain.io/ephemeral"

_ADDRESS = re.compile(r"\$\((input|output)s\.([-\w]+)\.uri\)")
_PARAMETER = re.compile(r"\{\{\s*inputs\.parameters\.([-\w]+)\s*\}\}")
_ENDING = re.compile(r"\.\w+$")
_OF_ONE_STEP = ("timeout", "active_deadline_seconds")


@dataclass(kw_only=True)
class ChainTasks(DAG):
    """A DAG template with the container templates that its tasks run."""

    pods: list[Template] = field(default_factory=list)
    """One a function. They join the Workflow with the DAG; who gives ``Workflow(templates=…)`` adds them there."""

    def __post_init__(self) -> None:
        """Join the context, with the container templates."""
        super().__post_init__()
        self._bring_pods()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a Task in a DAG, a Step in Steps."""
        self._bring_pods()
        return super().__call__(*args, **kwargs)

    def _bring_pods(self) -> None:
        root = _context.pieces[0] if _context.pieces else None
        if isinstance(root, Workflow):
            there = {template.name for template in root.templates}
            root.templates.extend(copy.deepcopy(pod) for pod in self.pods if pod.name not in there)


def tasks_of(chain: Chain, draft: Draft, types: Sequence[FunctionType], name: str, image: str | None) -> ChainTasks:
    """Return a chain's functions as tasks. Arguments and errors: ``Chain.as_tasks``."""
    _refuse(chain, draft)
    templates = {
        function.name: _Pod(function, type_, draft, chain, f"{name}-{function.name}", image or IMAGE)
        for function, type_ in zip(draft.functions.values(), types, strict=True)
    }
    dag = ChainTasks(
        name=name,
        inputs=chain._build_inputs(),
        outputs=Outputs(artifacts=_results(chain, templates) or None),
        retry_strategy=chain.retry_strategy,
        memoize=chain.memoize,
        synchronization=chain.synchronization,
        metrics=chain.metrics,
        labels=chain.labels,
        annotations=chain.annotations,
        pods=[pod.template() for pod in templates.values()],
    )
    with dag:
        for pod in templates.values():
            before = dict.fromkeys(source.partition(".")[0] for source, _ in pod.fed)
            Task(
                name=pod.function.name,
                template=pod.name,
                arguments=Arguments(artifacts=list(pod.given()) or None, parameters=pod.passed() or None),
                depends=" && ".join(before) or None,
            )
    return dag


def _refuse(chain: Chain, draft: Draft) -> None:
    for kind, endpoints in (("input", draft.inputs), ("output", draft.outputs)):
        for endpoint in endpoints.values():
            if endpoint.uri is not None:
                raise CompositionError(
                    f"chain '{chain.name}', {kind} '{endpoint.name}': pods hand over artifacts, not a uri: "
                    f"declare chain.{kind}('{endpoint.name}') without uri to use as_tasks()."
                )
    if results := list(chain._results()):
        raise CompositionError(
            f"chain '{chain.name}': result '{results[0]}' comes from a DataFlow, which pods do not make: "
            "remove it to use as_tasks()."
        )
    for unused in _OF_ONE_STEP:
        if getattr(chain, unused) is not None:
            raise CompositionError(f"chain '{chain.name}': a DAG has no {unused}: remove it to use as_tasks().")


@dataclass(frozen=True, slots=True)
class _Pod:
    """One function as a container template."""

    function: Function
    type: FunctionType
    draft: Draft
    chain: Chain
    name: str
    image: str

    @property
    def fed(self) -> list[tuple[str, str]]:
        """Connections to this function: (function.port, own port)."""
        ends = ((source, *target.split(".", 1)) for source, target in self.draft.connections)
        return [(source, port) for source, function, port in ends if function == self.function.name]

    @property
    def addresses(self) -> dict[str, tuple[str, str]]:
        """Parameters that are addresses: name → ("input" or "output", name of the chain's)."""
        found: dict[str, tuple[str, str]] = {}
        for declaration in self.type.spec.parameters:
            value = self.function.parameters.get(declaration.name)
            if value is None or not is_address(declaration):
                continue
            match = _ADDRESS.fullmatch(str(value))
            if match is None:
                raise CompositionError(
                    f"chain '{self.chain.name}', function '{self.function.name}', parameter '{declaration.name}': "
                    f"pods hand over artifacts, not '{value}': give chain.input(…) or chain.output(…)."
                )
            found[declaration.name] = (match[1], match[2])
        return found

    def given(self) -> Iterator[ModelArtifact]:
        """Yield the artifacts that the DAG hands to the task."""
        for source, port in self.fed:
            function, _, output = source.partition(".")
            yield ModelArtifact(name=port, from_=f"{{{{tasks.{function}.outputs.artifacts.{output}}}}}")
        for kind, name in self.addresses.values():
            if kind == "input":
                yield ModelArtifact(name=name, from_=f"{{{{inputs.artifacts.{name}}}}}")

    def passed(self) -> list[Parameter]:
        """Return the parameters that the DAG hands to the task."""
        return [Parameter(name=name, value=f"{{{{inputs.parameters.{name}}}}}") for name in self._used()]

    def template(self) -> Template:
        """Return the container template."""
        addresses = self.addresses
        inputs = [port for _, port in self.fed] + [name for kind, name in addresses.values() if kind == "input"]
        frames = [port.name for port in self.type.spec.outputs]
        function = self.function.call.function_name
        version = f"@{self.function.call.version}" if self.function.call.version else ""
        annotations = {FUNCTION: f"{function}{version}"} | ({EPHEMERAL: ",".join(frames)} if frames else {})
        parameters = [Parameter(name=name) for name in self._used()]
        outputs = [_file(Artifact(name=name), f"/tmp/out/{name}") for name in frames]
        for kind, name in addresses.values():
            if kind == "output":
                place = self.chain._output_artifacts[name]
                outputs.append(_file(place, f"/tmp/out/{name}{_suffix(place, function)}"))
        return Template(
            name=self.name,
            metadata=Metadata(annotations=annotations),
            inputs=Inputs(
                artifacts=[ModelArtifact(name=name, path=f"/tmp/in/{name}") for name in inputs] or None,
                parameters=parameters or None,
            ),
            outputs=Outputs(artifacts=outputs),
            container=Container(image=self.image, command=["accelchain", "step", function], args=list(self._args())),
        )

    def _args(self) -> Iterator[str]:
        addresses = self.addresses
        for name, value in self.function.parameters.items():
            if name in addresses:
                kind, artifact = addresses[name]
                yield from (f"--{name}", f"{{{{{kind}s.artifacts.{artifact}.path}}}}")
            else:
                yield from (f"--{name}", as_text(value))
        for _, port in self.fed:
            yield from ("--input", f"{port}={{{{inputs.artifacts.{port}.path}}}}")
        for output in self.type.spec.outputs:
            yield from ("--output", f"{output.name}={{{{outputs.artifacts.{output.name}.path}}}}")

    def _used(self) -> list[str]:
        """Return the names of the chain's input parameters that this function's parameters hold."""
        texts = " ".join(value for value in self.function.parameters.values() if isinstance(value, str))
        return list(dict.fromkeys(_PARAMETER.findall(texts)))


def _results(chain: Chain, pods: Mapping[str, _Pod]) -> list[ModelArtifact]:
    """Return the DAG's output artifacts."""
    makers = {
        name: pod.function.name for pod in pods.values() for kind, name in pod.addresses.values() if kind == "output"
    }
    return [
        ModelArtifact(
            name=name,
            from_=f"{{{{tasks.{makers[name]}.outputs.artifacts.{name}}}}}",
            global_name=artifact.global_name,
        )
        for name, artifact in chain._output_artifacts.items()
    ]


def _suffix(place: Artifact, function: str) -> str:
    """Return the ending by which a sink knows what to write: that of the artifact's key, else the function's own."""
    given = _ENDING.search(str(getattr(place, "key", None) or ""))
    return given[0] if given else FILE_ENDINGS.get(function, "")


def _file(artifact: Artifact, path: str) -> ModelArtifact:
    """Return an output artifact that is stored as the file is."""
    made = artifact._build_artifact()
    made.path, made.global_name = path, None
    made.archive = made.archive or ArchiveStrategy(none=NoneStrategy())
    return made
