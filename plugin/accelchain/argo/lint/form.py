# SPDX-License-Identifier: Apache-2.0
"""The form of Argo's documents down to the steps that a template calls: what has none holds no step to look at."""

from __future__ import annotations

from typing import Any, Final

from accelchain.argo.core.documents import JsonObject, workflow_specs

_WORDS: Final = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}


def faults(document: JsonObject) -> list[tuple[str, str]]:
    """Return field and sentence of all that Argo could not read; empty where it can."""
    found = _Faults()
    spec = document.get("spec", {})  # that one is missing is for Argo to say
    if found.expect(dict, spec, "spec") and document["kind"] == "CronWorkflow":
        found.expect(dict, spec.get("workflowSpec", {}), "spec.workflowSpec")
    for path, workflow in workflow_specs(document):
        for at, template in found.mappings(workflow.get("templates"), f"{path}.templates"):
            dag, groups = template.get("dag"), template.get("steps")
            if dag is not None and found.expect(dict, dag, f"{at}.dag"):
                found.mappings(dag.get("tasks"), f"{at}.dag.tasks")
            if groups is not None and found.expect(list, groups, f"{at}.steps"):
                for i, group in enumerate(groups):
                    found.mappings([] if group is None else group, f"{at}.steps[{i}]")
    return found.told


class _Faults:
    """Collects what has not the form that is wanted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def expect(self, wanted: type, value: Any, path: str) -> bool:
        """Tell whether a value has a form, and note where it has not."""
        if isinstance(value, wanted):
            return True
        given = "nothing" if value is None else _WORDS.get(type(value), "something else")
        self.told.append((path, f"this is {given}: {_WORDS[wanted]} is wanted."))
        return False

    def mappings(self, listed: Any, path: str) -> list[tuple[str, JsonObject]]:
        """Return the mappings of a list with their fields, and note what is none; nothing is an empty list."""
        if listed is None or not self.expect(list, listed, path):
            return []
        fields = [(f"{path}[{i}]", member) for i, member in enumerate(listed)]
        return [(at, member) for at, member in fields if self.expect(dict, member, at)]
