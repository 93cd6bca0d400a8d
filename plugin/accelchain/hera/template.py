# SPDX-License-Identifier: Apache-2.0
"""``DataFlowTemplate``: a Hera template whose step is a DataFlow, for those who have its spec already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hera.workflows import Workflow
from hera.workflows._context import _context
from hera.workflows._meta_mixins import CallableTemplateMixin
from hera.workflows._mixins import IOMixin, TemplateMixin
from hera.workflows.models import Outputs, SuppliedValueFrom, Template, ValueFrom
from hera.workflows.models import Parameter as ModelParameter
from hera.workflows.models.io.k8s.apimachinery.pkg.util.intstr import IntOrString

from accelchain.api.data_flow import DataFlowSpec
from accelchain.argo.core.body import KEY
from accelchain.argo.core.deadline import parse_duration
from accelchain.chain.problems import choose
from accelchain.hera.accelerated import Composer
from accelchain.hera.arguments import check_arguments
from accelchain.hera.body import as_resource, checked, with_paths
from accelchain.hera.errors import CompositionError

_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")
"""argoproj/argo-workflows v4.1.2, workflow/validate/validate.go: isValidWorkflowFieldName."""
_FOR_PODS = (
    "affinity",
    "archive_location",
    "automount_service_account_token",
    "daemon",
    "executor",
    "fail_fast",
    "host_aliases",
    "init_containers",
    "node_selector",
    "parallelism",
    "plugin",
    "pod_security_context",
    "pod_spec_patch",
    "priority_class_name",
    "scheduler_name",
    "service_account_name",
    "sidecars",
    "tolerations",
)
"""Fields of every Hera template that Argo does not act on for a plugin."""


@dataclass(kw_only=True)
class DataFlowTemplate(TemplateMixin, IOMixin, CallableTemplateMixin):
    """A template whose step makes a DataFlow and ends with it.

    Input artifacts feed the chain's inputs of that name, output artifacts are its outputs of that name.

    Example:
        >>> detect = DataFlowTemplate(
        ...     "detect",
        ...     inputs=[Parameter(name="video")],
        ...     dataflow={
        ...         "chainRef": {"name": "person-detection"},
        ...         "inputs": {"video": {"uri": "{{inputs.parameters.video}}"}},
        ...         "outputs": {"annotated": {"uri": "s3://results/{{workflow.name}}.mp4"}},
        ...     },
        ...     results={"frames": "frames"},
        ... )
    """

    name: str | None = field(default=None, kw_only=False)
    """The template's name."""
    dataflow: Mapping[str, Any] | DataFlowSpec | None = None
    """The DataFlow's spec. Every string may hold Argo's ``{{…}}``, also where a number is wanted."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Output parameters: name → source (``frames``, ``seconds``, ``framesPerSecond``, ``dataflow``, ``endpoint``,
    ``outputs.NAME.uri``, or ``function.value``)."""
    complete_when: Literal["Finished", "Running"] = "Finished"
    """``Running``: the step succeeds once the flow runs; for mode Stream."""
    owner: Literal["Workflow", "None"] = "Workflow"
    """``None``: the flow outlives the Workflow; only with ``complete_when="Running"``."""
    emit: Literal["plugin", "resource"] = "plugin"
    """``resource``: a pod of Argo creates the DataFlow and waits for it, where executor plugins are not allowed."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a Task in a DAG, a Step in Steps: ``chain(name=…, arguments={…}, when=…, with_items=[…])``.

        Raises:
            CompositionError: there is no DAG or Steps here, another template of this name is in the Workflow, or an
                argument is unknown or missing.
        """
        pieces = _context.pieces
        if args:
            raise CompositionError(f"'{self.name}' takes no positional arguments: give arguments={{name: value}}.")
        if not pieces or isinstance(pieces[-1], Workflow | Composer):
            raise CompositionError(f"'{self.name}' is a template: call it in a `with DAG(…)` or `with Steps(…)` block.")
        if any(getattr(piece, "name", None) == self.name for piece in pieces[1:]):
            raise CompositionError(f"'{self.name}' is called in a template of the same name: rename one of them.")
        root = pieces[0]
        for other in root.templates if isinstance(root, Workflow) else ():
            if isinstance(other, DataFlowTemplate) and other.name == self.name and not self._equals(other):
                raise CompositionError(
                    f"the Workflow has another template '{self.name}', and Hera would run that one: rename one of them."
                )
        check_arguments(str(self.name), self._build_inputs(), kwargs.get("arguments"))
        at_exit = kwargs.get("on_exit")
        if isinstance(root, Workflow) and isinstance(at_exit, DataFlowTemplate) and at_exit not in root.templates:
            root.templates.append(at_exit)  # Hera writes its name only
        return super().__call__(**kwargs)

    def _equals(self, other: DataFlowTemplate) -> bool:
        return other is self or other._build_template() == self._build_template()

    def _spec(self) -> dict[str, Any]:
        """Return the DataFlow's spec as JSON.

        Raises:
            CompositionError: there is none.
        """
        if self.dataflow is None:
            raise CompositionError(f"template '{self.name}': give dataflow, the spec of a DataFlow.")
        return self.dataflow.to_dict() if isinstance(self.dataflow, DataFlowSpec) else dict(self.dataflow)

    def _results(self) -> Mapping[str, str]:
        return self.results

    def _body(self) -> dict[str, Any]:
        """Return what the template says to the plugin."""
        # a retryStrategy may come from templateDefaults too; without one Argo leaves {{retries}} as it is: attempt 0
        body: dict[str, Any] = {"node": "{{node.name}}", "attempt": "{{retries}}", "dataflow": self._spec()}
        if self.complete_when != "Finished":
            body["completeWhen"] = self.complete_when
        if self.owner != "Workflow":
            body["owner"] = self.owner
        if results := {name: source for name, source in self._results().items() if name != source}:
            body["results"] = results
        return body

    def _build_outputs(self) -> Outputs | None:
        """Return the outputs, with a parameter for each result that is not declared by hand."""
        outputs = super()._build_outputs()
        declared = {p.name for p in (outputs.parameters or [])} if outputs is not None else set()
        added = [
            ModelParameter(name=name, value_from=ValueFrom(supplied=SuppliedValueFrom()))
            for name in self._results()
            if name not in declared
        ]
        if not added:
            return outputs
        outputs = outputs.model_copy() if outputs is not None else Outputs()
        outputs.parameters = [*(outputs.parameters or []), *added]
        return outputs

    def _check_fields(self) -> None:
        """Check what Argo or we would refuse later, and what Python's types don't stop.

        Raises:
            CompositionError: a field is wrong.
        """
        where = f"template '{self.name}'"
        if not _NAME.fullmatch(str(self.name)):
            raise CompositionError(
                f"{where}: Argo takes names of letters, digits and '-', 128 at most, that begin with a letter or digit."
            )
        if self.emit not in ("plugin", "resource"):
            raise CompositionError(f"{where}: emit is '{self.emit}': {choose(str(self.emit), ('plugin', 'resource'))}")
        if self.timeout is not None and "{{" not in str(self.timeout):
            try:
                parse_duration(self.timeout)
            except ValueError as error:
                raise CompositionError(f"{where}: timeout: {error}.") from None

    def _build_template(self) -> Template:
        """Return the template.

        Raises:
            CompositionError: something in it is wrong, or would have no effect.
        """
        self._check_fields()
        for unused in _FOR_PODS:
            if getattr(self, unused) is not None:
                raise CompositionError(
                    f"template '{self.name}': {unused} is for steps that are pods, and has no effect here: leave it "
                    "out; functions are placed by placement rules."
                )
        if self.owner == "None" and self.complete_when != "Running":
            raise CompositionError(
                f"template '{self.name}': owner='None' is for flows that run on: give complete_when='Running' too."
            )
        plain = Template(
            name=self.name,
            active_deadline_seconds=IntOrString(root=self.active_deadline_seconds)
            if self.active_deadline_seconds
            else None,
            inputs=self._build_inputs(),
            memoize=self.memoize,
            metadata=self._build_metadata(),
            metrics=self._build_metrics(),
            outputs=self._build_outputs(),
            retry_strategy=self._build_retry_strategy(),
            synchronization=self.synchronization,
            timeout=self.timeout,
        )
        document = with_paths(plain.model_dump(exclude_none=True, by_alias=True))
        document = checked(document | {"plugin": {KEY: self._body()}})
        return Template.model_validate(as_resource(document) if self.emit == "resource" else document)
