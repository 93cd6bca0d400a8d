# SPDX-License-Identifier: Apache-2.0
"""A pipeline that is being changed: a copy, with what the changes have in common."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from accelchain.kfp.core.build import Launch
from accelchain.kfp.core.member import Member
from accelchain.kfp.core.names import fresh
from accelchain.kfp.core.payload import encode
from accelchain.kfp.core.pipeline import PLATFORM, ROOT, Pipeline, configs_of, dags, tasks_of
from accelchain.kfp.core.report import JsonObject

LAUNCHER: Final = ["python3", "-m", "accelchain.kfp.launcher"]
"""The command of tasks that run a DataFlow."""
_RESOURCES = {"resourceCpuRequest": "100m", "resourceMemoryRequest": "128Mi", "resourceMemoryLimit": "512Mi"}


class Draft:
    """Holds the copy."""

    def __init__(self, pipeline: Pipeline, image: str) -> None:
        self._image = image
        self._header = pipeline.header
        self.spec = copy.deepcopy(pipeline.spec)
        self.platforms = copy.deepcopy(pipeline.platforms)

    def pipeline(self) -> Pipeline:
        """Return the pipeline as it is now."""
        return Pipeline(self.spec, self.platforms, self._header)

    def graph(self, name: str) -> JsonObject:
        """Return a component that is a graph."""
        found: JsonObject = self.spec[ROOT] if name == ROOT else self.spec["components"][name]
        return found

    def callers(self, component: str) -> Iterator[JsonObject]:
        """Yield the tasks that run a component."""
        for _, graph in dags(self.spec):
            yield from (task for task in tasks_of(graph).values() if task["componentRef"]["name"] == component)

    def executor(self, name: str, launch: Launch) -> str:
        """Add a launcher's executor, and return its label."""
        executors = self.spec["deploymentSpec"]["executors"]
        label = fresh(f"exec-{name}", executors)
        executors[label] = {
            "container": {
                "image": self._image,
                "command": list(LAUNCHER),
                "args": [
                    "run",
                    *("--payload", encode(launch.payload)),
                    *("--executor-input", "{{$}}"),
                    *("--compat", "kfp.dsl.executor_main"),  # the word that kfp.local's SubprocessRunner looks for
                ],
                "resources": dict(_RESOURCES),
            }
        }
        return label

    def component(self, name: str, definition: JsonObject) -> str:
        """Add a component, and return its name."""
        components = self.spec["components"]
        own = fresh(f"comp-{name}", components)
        components[own] = definition
        return own

    def configs(self, graph: JsonObject) -> dict[str, JsonObject]:
        """Return what Kubernetes is told of a graph's tasks, by executor."""
        found = configs_of(self.platforms, "kubernetes")
        components = self.spec["components"]
        labels = {components[task["componentRef"]["name"]].get("executorLabel") for task in tasks_of(graph).values()}
        return {label: config for label, config in found.items() if label in labels}

    def sweep(self, before: set[str]) -> None:
        """Remove components that nobody uses any more, with their executors and what platforms say of them.

        Args:
            before: components that somebody used.
        """
        components = self.spec["components"]
        gone = before - self.used()
        labels = {components[name].get("executorLabel") for name in gone} - {None}
        for name in gone:
            del components[name]
        self.drop(labels - {component.get("executorLabel") for component in components.values()})

    def drop(self, labels: Iterable[str]) -> None:
        """Remove executors."""
        for label in labels:
            self.spec["deploymentSpec"]["executors"].pop(label, None)
        if not self.platforms:
            return
        platforms = self.platforms["platforms"]
        for name in list(platforms):
            executors = (platforms[name].get("deploymentSpec") or {}).get("executors") or {}
            for label in labels:
                executors.pop(label, None)
            if not executors and (name == PLATFORM or not _says_more(platforms[name])):
                del platforms[name]
        if not platforms:
            self.platforms = None

    def used(self) -> set[str]:
        """Return the components that are reached from the pipeline."""
        found: set[str] = set()
        stack = [self.spec[ROOT]]
        while stack:
            graph = stack.pop()
            for task in ((graph.get("dag") or {}).get("tasks") or {}).values():
                name = task["componentRef"]["name"]
                if name not in found:
                    found.add(name)
                    stack.append(self.spec["components"][name])
        return found


def definitions(launch: Launch) -> JsonObject:
    """Return a launcher's definitions of inputs and outputs, as a component has them."""
    found: JsonObject = {}
    for key, sides in (
        (
            "inputDefinitions",
            {kind: {n: d for n, (_, d) in given.items() if d} for kind, given in launch.inputs.items()},
        ),
        ("outputDefinitions", launch.outputs),
    ):
        if kept := {kind: dict(entries) for kind, entries in sides.items() if entries}:
            found[key] = kept
    return copy.deepcopy(found)


def caching(chain: Mapping[str, object], members: Sequence[Member]) -> JsonObject:
    """Return a launcher's caching options: a flow that is not run again makes nothing.

    One member whose author wants it to run each time is enough.

    KFP's own key holds all inputs and the payload. No ``cacheKey`` is set: backends after 2.17 take it for the whole of
    the key, and other inputs would get this chain's earlier outputs (backend/src/v2/driver/cache.go:getFingerPrint).
    """
    cached = all((member.task.get("cachingOptions") or {}).get("enableCache") for member in members)
    return {"enableCache": True} if chain.get("deterministic") and cached else {}


def retry_policy(members: Sequence[Member]) -> JsonObject | None:
    """Return the policy of the member that is tried most often."""
    policies = [policy for member in members if (policy := member.task.get("retryPolicy"))]
    return max(policies, key=lambda policy: int(policy.get("maxRetryCount") or 0), default=None)


def _says_more(platform: JsonObject) -> bool:
    return any(value for key, value in platform.items() if key not in ("deploymentSpec", "platform"))
