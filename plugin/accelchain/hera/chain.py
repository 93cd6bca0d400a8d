# SPDX-License-Identifier: Apache-2.0
"""``Chain``: accelerated functions composed in a ``with`` block become one template, one step, one DataFlow."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar, overload

from hera.shared.serialization import MISSING, serialize
from hera.workflows import Artifact, Parameter
from hera.workflows._context import _context
from hera.workflows._meta_mixins import ContextMixin
from hera.workflows.models import Inputs, Outputs

from accelchain.api.common import Scalar
from accelchain.api.data_flow import PlacementRule, Volume
from accelchain.api.function_type import FunctionType
from accelchain.hera.accelerated import Accelerated, Composer
from accelchain.hera.check import check_draft
from accelchain.hera.draft import Draft, Endpoint, Function, addresses
from accelchain.hera.edges import connect
from accelchain.hera.errors import CompositionError
from accelchain.hera.known import known_type, type_of
from accelchain.hera.outputs import Result, declared_outputs
from accelchain.hera.parameters import given_parameters
from accelchain.hera.ports import ChainPort
from accelchain.hera.tasks import ChainTasks, tasks_of
from accelchain.hera.template import DataFlowTemplate
from accelchain.hera.unknown import Unknown
from accelchain.hera.values import Address, Video

T = TypeVar("T", bound=Scalar)


@dataclass(kw_only=True)
class Chain(DataFlowTemplate, ContextMixin, Composer):
    """A template made of accelerated functions, which hand over frames from device to device.

    Example:
        >>> with Chain("detect-people") as detect:
        ...     frames = decode_video(detect.input("video"))
        ...     found = detect_person(filter_resize(frames, width=300, height=300))
        ...     write_detections(found, uri=detect.output("detections"))
        >>> with DAG(name="main"):
        ...     fetch >> detect(arguments={"video": fetch.get_artifact("video")})
    """

    mode: Literal["Batch", "Stream"] = "Batch"
    """``Stream`` runs until it is stopped; give ``complete_when="Running"`` then."""
    rate: float | str | Parameter | None = None
    """Frames a second that every function is to take: devices are reserved for it."""
    placement: Sequence[PlacementRule] = ()
    """Where functions may run; rules for one function are given by ``function.options(…)`` too."""
    retries: int | str | Parameter | None = None
    """How often the DataFlow itself tries again within the step; ``retry_strategy`` is Argo's, a new step each."""
    volumes: Sequence[Volume] = ()
    """Volumes that file:///… addresses lie in."""
    strategy: str | None = None
    """Name of a SchedulingStrategy."""

    _draft: Draft = field(default_factory=Draft, repr=False)
    _parameters: dict[str, Parameter] = field(default_factory=dict, repr=False)
    _artifacts: dict[str, Artifact] = field(default_factory=dict, repr=False)
    _output_artifacts: dict[str, Artifact] = field(default_factory=dict, repr=False)
    _given: dict[str, Result] = field(default_factory=dict, repr=False)
    _key: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Join the context, as every template of Hera does.

        Raises:
            CompositionError: the chain has no name, lies in another chain, or was given a whole spec.
        """
        if not self.name:
            raise CompositionError("a chain needs a name: Chain('detect-people').")
        if _context.pieces and isinstance(_context.pieces[-1], Chain):
            raise CompositionError(f"chain '{self.name}' lies in chain '{_context.pieces[-1].name}': move it out.")
        if self.dataflow is not None:
            raise CompositionError(f"chain '{self.name}': dataflow is for DataFlowTemplate; a chain makes its own.")
        self._key = id(self)
        super().__post_init__()

    def __exit__(self, *exception: object) -> None:
        """Leave the block; a chain that is complete is checked.

        Raises:
            CompositionError: with everything that is wrong in the chain.
        """
        super().__exit__(*exception)
        if exception[0] is None:
            self._check()

    def _add_sub(self, node: Any) -> NoReturn:
        raise CompositionError(
            f"chain '{self.name}' is made of accelerated functions only: "
            f"move {type(node).__name__} '{getattr(node, 'name', '')}' out of its `with` block."
        )

    # What is declared

    def input(
        self,
        name: str,
        *,
        uri: str | Parameter | None = None,
        credentials: str | None = None,
        artifact: Artifact | None = None,
    ) -> Video:
        """Declare where data enters the chain, and return its address for a source function.

        Args:
            name: of the chain's input.
            uri: the address; ``{{…}}`` and Hera's parameters are filled in by Argo. Where None the template has an
                input artifact of that name (s3 or http), which the caller gives by ``arguments``.
            credentials: Secret that opens the address ``uri``.
            artifact: the input artifact with a location of its own, ``S3Artifact(name=…, key=…)``.

        Raises:
            CompositionError: the name is taken, or ``uri`` and ``artifact`` are both given.
        """
        self._declare(self._draft.inputs, self._artifacts, "input", Endpoint(name, _text(uri), credentials), artifact)
        return Video(f"$(inputs.{name}.uri)")

    def output(
        self,
        name: str,
        *,
        uri: str | Parameter | None = None,
        credentials: str | None = None,
        artifact: Artifact | None = None,
    ) -> Address:
        """Declare where data leaves the chain, and return its address for a sink function.

        Args:
            name: of the chain's output.
            uri: the address. Where None the template has an output artifact of that name, in the Workflow's
                artifact repository.
            credentials: Secret that opens the address ``uri``.
            artifact: the output artifact with a location of its own.

        Raises:
            CompositionError: the name is taken, or ``uri`` and ``artifact`` are both given.
        """
        endpoint = Endpoint(name, _text(uri), credentials)
        self._declare(self._draft.outputs, self._output_artifacts, "output", endpoint, artifact)
        return Address(f"$(outputs.{name}.uri)")

    @overload
    def parameter(self, name: str, type: type[T], *, description: str | None = None) -> T: ...
    @overload
    def parameter(self, name: str, *, default: T, description: str | None = None) -> T: ...
    def parameter(
        self, name: str, type: type[Any] | None = None, *, default: Any = MISSING, description: str | None = None
    ) -> Any:
        """Declare an input parameter of the template, and return what stands for its value.

        Args:
            name: of the parameter; the caller gives it by ``arguments``.
            type: int, float, bool or str, of a parameter that must be given.
            default: value of a parameter that need not be given.
            description: for people.

        Raises:
            CompositionError: the name is taken.
        """
        if name in self._parameters:
            raise CompositionError(f"chain '{self.name}' has a parameter '{name}' already: use what it returned.")
        self._parameters[name] = Parameter(name=name, value=default, description=description)
        return Unknown(f"{{{{inputs.parameters.{name}}}}}")

    def result(
        self, name: str, source: str | None = None, *, default: Any = MISSING, global_name: str | None = None
    ) -> None:
        """Declare an output parameter of the template.

        Args:
            name: of the output parameter.
            source: where the value comes from, ``name`` where None: ``frames``, ``seconds``, ``framesPerSecond``,
                ``dataflow``, ``endpoint``, the name of an output (its address), or ``function.value`` as sinks give
                them: ``write-detections.detections``.
            default: the value where the flow gives none; the step fails then where there is no default.
            global_name: name of the Workflow's output parameter that it becomes too.

        Raises:
            CompositionError: the name is taken. A source that the chain can't give is found when the template is
                built.
        """
        if name in self._given:
            raise CompositionError(f"chain '{self.name}' has a result '{name}' already: choose another name.")
        value = None if default is MISSING else serialize(default)
        self._given[name] = Result(name, source or name, value, global_name)

    def as_tasks(self, name: str | None = None, *, image: str | None = None) -> ChainTasks:
        """Return the same functions as ordinary pods, one a function, that hand over files: a DAG template.

        It takes the same arguments and gives the same artifacts, so that results can be compared with and without
        accelerators, and ``accelchain fuse`` makes one chain of it again.

        Args:
            name: of the DAG template; ``<chain>-tasks`` where None.
            image: of the worker.

        Raises:
            CompositionError: an input or output is given by ``uri`` (pods read and write artifacts only), or the
                chain has results.
        """
        self._check()
        return tasks_of(self, self._draft, self._types(), name or f"{self.name}-tasks", image)

    # What is composed

    def call(self, function: Accelerated[Any, Any], bound: inspect.BoundArguments) -> Any:
        """Add a function to the chain. Users call the function itself.

        Raises:
            CompositionError: an argument is no port of this chain, its type does not fit, or a parameter is wrong.
        """
        wanted = function.settings.name or function.body.__name__.replace("_", "-")
        if function.settings.name in self._draft.functions:
            raise CompositionError(f"chain '{self.name}' has a function '{wanted}' already: choose another name.")
        name = self._draft.free_name(wanted)
        where = f"chain '{self.name}', function '{name}'"
        type_ = self._type(function)
        edges = connect(function, bound, type_, where, self._key, {n: f.call for n, f in self._draft.functions.items()})
        self._draft.functions[name] = Function(name, function, given_parameters(function, bound, type_, where))
        self._draft.connections += [(str(port), f"{name}.{target}") for port, target in edges]
        outputs = [ChainPort(str(self.name), self._key, name, port.name) for port in function.signature.outputs]
        return function.signature.pack(outputs)

    # What it becomes

    def _spec(self) -> dict[str, Any]:
        self._check()
        draft = self._draft
        rules = draft.rules(self.placement)
        spec: dict[str, Any] = {
            "chain": draft.chain(),
            "inputs": addresses(draft.inputs),
            "outputs": addresses(draft.outputs),
            "mode": self.mode if self.mode != "Batch" else None,
            "rate": draft.rate(_plain(self.rate), str(self.name)),
            "placement": {"rules": [rule.to_dict() for rule in rules]} if rules else None,
            "retries": {"limit": _plain(self.retries)} if self.retries is not None else None,
            "strategyRef": {"name": self.strategy} if self.strategy else None,
            "volumes": [volume.to_dict() for volume in self.volumes],
        }
        return {name: value for name, value in spec.items() if value}

    def _results(self) -> Mapping[str, str]:
        return {**self.results, **{result.name: result.source for result in self._given.values()}}

    def _build_inputs(self) -> Inputs | None:
        inputs = super()._build_inputs()
        made = inputs.model_copy() if inputs is not None else Inputs()
        made.parameters = [*(made.parameters or []), *(p.as_input() for p in self._parameters.values())] or None
        made.artifacts = [*(made.artifacts or []), *(a._build_artifact() for a in self._artifacts.values())] or None
        return made if made.parameters or made.artifacts else None

    def _build_outputs(self) -> Outputs | None:
        return declared_outputs(super()._build_outputs(), self._given.values(), self._output_artifacts.values())

    def _check_fields(self) -> None:
        super()._check_fields()
        if self.retries is not None and self.retry_strategy is not None:
            raise CompositionError(
                f"chain '{self.name}': retries and retry_strategy: each attempt of Argo's would try so often again: "
                "keep one of them."
            )

    def _check(self) -> None:
        self._check_fields()
        check_draft(self._draft, str(self.name), self._types(), self._draft.rules(self.placement))

    def _types(self) -> tuple[FunctionType, ...]:
        return tuple(self._type(function.call) for function in self._draft.functions.values())

    def _type(self, function: Accelerated[Any, Any]) -> FunctionType:
        installed = known_type(function.function_name, function.version)
        return installed or type_of(
            function.function_name, function.version, function.signature, function.settings.implementations
        )

    def _declare(
        self,
        endpoints: dict[str, Endpoint],
        artifacts: dict[str, Artifact],
        kind: str,
        endpoint: Endpoint,
        artifact: Artifact | None,
    ) -> None:
        name = endpoint.name
        if name in endpoints:
            raise CompositionError(f"chain '{self.name}' has an {kind} '{name}' already: use what it returned.")
        if endpoint.uri is not None and artifact is not None:
            raise CompositionError(f"chain '{self.name}', {kind} '{name}': give uri or artifact, not both.")
        if endpoint.uri is None and endpoint.credentials is not None:
            raise CompositionError(
                f"chain '{self.name}', {kind} '{name}': credentials belong to a uri; an artifact brings its own."
            )
        endpoints[name] = endpoint
        if endpoint.uri is None:
            artifacts[name] = (artifact or Artifact()).with_name(name)


def _text(value: str | Parameter | None) -> str | None:
    return None if value is None else str(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Parameter) else value


__all__ = ["Chain"]
