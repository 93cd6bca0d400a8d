# SPDX-License-Identifier: Apache-2.0
"""What KFP's backend lets pass in silence, and what then gives empty values: references that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from accelchain.kfp.core.graph import producer
from accelchain.kfp.core.outputs import exposed
from accelchain.kfp.core.pipeline import dags, is_undeclared, tasks_of
from accelchain.kfp.core.report import JsonObject
from accelchain.kfp.core.role import Interface

_KINDS = {
    "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "STRING": (str,), "BOOLEAN": (bool,),
    "LIST": (list,), "STRUCT": (dict,),
}  # fmt: skip


def dangling(spec: JsonObject) -> list[str]:
    """Return a sentence for everything in a pipeline that leads nowhere."""
    return [
        f"{name.removeprefix('comp-')}{f'.{task}' if task else ''}: {what}."
        for name, graph in dags(spec)
        for task, what in _in_graph(spec, graph)
    ]


def _in_graph(spec: JsonObject, graph: JsonObject) -> Iterator[tuple[str, str]]:
    tasks, components = tasks_of(graph), spec["components"]
    interfaces = {name: Interface.of(components[task["componentRef"]["name"]]) for name, task in tasks.items()}
    own = Interface.of(graph)
    for name, task in tasks.items():
        yield from (
            (name, f"waits for '{o}', which is not there") for o in task.get("dependentTasks") or () if o not in tasks
        )
        inputs = task.get("inputs") or {}
        for kind, defined, outer in (
            ("parameters", interfaces[name].input_parameters, own.input_parameters),
            ("artifacts", interfaces[name].input_artifacts, own.input_artifacts),
        ):
            for key, source in (inputs.get(kind) or {}).items():
                if key not in defined and not is_undeclared(key):
                    yield name, f"input '{key}' is not declared"
                    continue
                made = producer(source)
                if made and not _gives(interfaces.get(made[0]), made[1], "taskOutputParameter" in source):
                    yield name, f"input '{key}' comes from '{made[0]}', which gives no '{made[1]}'"
                direct = source.get("componentInputParameter") or source.get("componentInputArtifact")
                if direct is not None and direct not in outer:
                    yield name, f"input '{key}' is '{direct}' of the graph, which has none"
                constant = (source.get("runtimeValue") or {}).get("constant")
                wanted = _KINDS.get(str((defined.get(key) or {}).get("parameterType")))
                if constant is not None and wanted and not isinstance(constant, wanted) and "{{$" not in str(constant):
                    yield name, f"input '{key}' is {constant!r}, which is no {defined[key]['parameterType']}"
    for name, outputs in exposed(graph["dag"]).items():
        for output in outputs:
            is_parameter = name in ((graph["dag"].get("outputs") or {}).get("parameters") or {})
            if not _gives(interfaces.get(output.task), output.key, is_parameter):
                yield "", f"output '{name}' comes from '{output.task}', which gives no '{output.key}'"


def _gives(interface: Interface | None, key: str, is_parameter: bool) -> bool:
    if interface is None:
        return False
    return key in (interface.output_parameters if is_parameter else interface.output_artifacts)
