# SPDX-License-Identifier: Apache-2.0
"""Files with documents of Argo's and of ours, all together: what one defines, another may use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from accelchain.api import ConnectionType, DataFlow, FunctionChain, FunctionType, Resource, SchedulingStrategy
from accelchain.argo.core.body import KEY, is_ours
from accelchain.argo.core.documents import Place, is_argo, templates, workflow_specs
from accelchain.argo.core.unknown import JsonObject
from accelchain.argo.lint.finding import Finding, Known
from accelchain.argo.lint.form import faults
from accelchain.argo.lint.references import check_references
from accelchain.argo.lint.resource import as_plugin, check_manifest
from accelchain.argo.lint.template import check_template
from accelchain.argo.lint.text import Document
from accelchain.chain.document import DocumentError, load_documents
from accelchain.chain.problems import choose
from accelchain.chain.resolve import ChainError, check_chain, resolve_flow

R = TypeVar("R", bound=Resource)

_LONGEST: Final = {"CronWorkflow": 52, "Workflow": 63, "WorkflowTemplate": 63, "ClusterWorkflowTemplate": 63}
"""Characters of a name (argoproj/argo-workflows v4.1.2, workflow/validate/validate.go)."""
_SUFFIX: Final = 5
"""Characters that Kubernetes puts after a generateName."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what was found."""

    findings: tuple[Finding, ...]
    steps: int
    """Templates of ours."""
    resources: int
    """Resources of ours."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for finding in self.findings if not finding.odd)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is odd."""
        return tuple(finding for finding in self.findings if finding.odd)


def lint(documents: Sequence[Document], known: Known) -> Report:
    """Check documents; those of other kinds than Argo's and ours are left alone.

    Args:
        documents: of one or several files.
        known: what there is beside them; what the files hold goes first.
    """
    findings: list[Finding] = []
    resources: list[tuple[Document, Resource]] = []
    steps = 0
    for document in documents:
        if str(_field(document, "apiVersion")).startswith("accelchain.io/"):
            try:
                resources += [(document, r) for r in load_documents(json.dumps(document.value), document.source)]
            except DocumentError as error:
                path = error.path.removeprefix(f"{document.source}: ").rpartition(" ")[2]
                findings.append(Finding(document.source, document.title, "", path, error.message))
    together = _together(known, [resource for _, resource in resources])
    for document, resource in resources:
        findings += _of_resource(document, resource, together)
    for document in documents:
        if is_argo(document.value):
            found = list(templates(document.value))
            created = [made for place in found if (made := as_plugin(place)) is not None]
            steps += sum(is_ours(place.template) for place in found) + len(created)
            findings += _of_argo(document, found, together)
            for made in created:
                findings += (
                    Finding(document.source, document.title, made.name or made.path, *told)
                    for told in check_manifest(made, together)
                )
    return Report(tuple(dict.fromkeys(findings)), steps, len(resources))


def _field(document: Document, name: str) -> object:
    return document.value.get(name) if isinstance(document.value, dict) else None


def _together(known: Known, resources: Sequence[Resource]) -> Known:
    types = {(t.function, t.spec.version): t for t in (*known.types, *_of_kind(resources, FunctionType))}
    return Known(
        types=list(types.values()),
        chains={**known.chains, **{r.metadata.name: r for r in _of_kind(resources, FunctionChain)}},
        connection_types={
            **known.connection_types,
            **{r.metadata.name: r for r in _of_kind(resources, ConnectionType)},
        },
        strategies={**known.strategies, **{r.metadata.name: r for r in _of_kind(resources, SchedulingStrategy)}},
        complete=known.complete,
    )


def _of_kind(resources: Sequence[Resource], kind: type[R]) -> list[R]:
    return [resource for resource in resources if isinstance(resource, kind)]


def _of_resource(document: Document, resource: Resource, known: Known) -> Iterator[Finding]:
    if isinstance(resource, FunctionChain):
        for problem in check_chain(resource.spec, known.types, "spec"):
            yield Finding(document.source, document.title, "", problem.path, problem.message)
    if not isinstance(resource, DataFlow):
        return
    try:
        resolve_flow(
            resource,
            chains=known.chains,
            types=known.types,
            connection_types=known.connection_types,
            strategies=known.strategies,
        )
    except ChainError as error:
        for problem in error.problems:
            if problem.path.startswith("FunctionChain/") and problem.path.split()[0][14:] in known.chains:
                continue  # told of the chain itself
            yield Finding(document.source, document.title, "", problem.path, problem.message)


def _of_argo(document: Document, places: Sequence[Place], known: Known) -> Iterator[Finding]:
    source, title = document.source, document.title
    for path, message in (*faults(document.value), *_names(document.value)):
        yield Finding(source, title, "", path, message)
    for place in places:
        if is_ours(place.template):
            for path, message, odd in check_template(place, known):
                yield Finding(source, title, place.name or place.path, path, message, odd)
        else:
            yield from _misspelt(document, place)
    ours = [place for place in places if is_ours(place.template)]
    if not ours:
        return
    for name, path, message in check_references(document.value, places):
        yield Finding(source, title, name, path, message)
    for path, spec in workflow_specs(document.value):
        plugins = spec.get("executorPlugins")
        if isinstance(plugins, list) and plugins and not any(KEY in json.dumps(plugin) for plugin in plugins):
            message = (
                "with plugins of its own a workflow gets no others, so nobody serves our steps: add ours here too."
            )
            yield Finding(source, title, "", f"{path}.executorPlugins", message, odd=True)


def _names(document: JsonObject) -> Iterator[tuple[str, str]]:
    longest = _LONGEST[document["kind"]]
    meta = document.get("metadata")
    for field, limit in (("name", longest), ("generateName", longest - _SUFFIX)):
        name = meta.get(field) if isinstance(meta, dict) else None
        if isinstance(name, str) and len(name) > limit:
            yield f"metadata.{field}", f"'{name[:20]}…' has {len(name)} characters: {limit} are allowed."


def _misspelt(document: Document, place: Place) -> Iterator[Finding]:
    plugin = place.template.get("plugin")
    for key in plugin if isinstance(plugin, dict) else ():
        if choose(str(key), [KEY]).startswith("did you mean"):
            message = f"no plugin of ours is called '{key}': did you mean '{KEY}'?"
            yield Finding(document.source, document.title, place.name, f"plugin.{key}", message)
