# SPDX-License-Identifier: Apache-2.0
"""A step as a plan of the engine: the function, with a file at each of its ports (pure)."""

from __future__ import annotations

from typing import Any

from accelchain_runtime.engine.plan import ConnectionPlan, DevicePlan, FlowIdentity, FunctionPlan, Plan, PortRef

from .arguments import Step
from .ends import PORT, READ, WRITE


def plan_of(step: Step) -> Plan:
    """Return the plan of a step; its registry is the step's function and ``ends.folders()``."""
    name = step.function.name
    kinds = {str(port["name"]): str(port["type"]) for port in (*step.function.inputs, *step.function.outputs)}
    functions = [
        FunctionPlan(
            name=name,
            type=name,
            version=step.function.version,
            implementation=str(step.implementation["name"]),
            device=step.device,
            parameters=dict(step.parameters),
            origins={parameter: f"--{parameter}" for parameter in step.parameters},
        )
    ]
    connections = []
    for port, file in step.inputs.items():
        end = f"--input {port}"
        functions.append(_end(end, READ, {"file": str(file), "kind": kinds[port]}))
        connections.append(_connection(end, PORT, name, port))
    for port, file in step.outputs.items():
        end = f"--output {port}"
        functions.append(_end(end, WRITE, {"file": str(file), "kind": kinds[port]}))
        connections.append(_connection(name, port, end, PORT))
    devices = [DevicePlan(name="host", api="host")]
    if step.device != "host":
        devices.append(DevicePlan(name=step.device, api=step.implementation["api"]))
    return Plan(flow=FlowIdentity(name=name), devices=devices, functions=functions, connections=connections)


def _end(name: str, kind: str, parameters: dict[str, Any]) -> FunctionPlan:
    return FunctionPlan(name=name, type=kind, implementation="host", device="host", parameters=parameters)


def _connection(source: str, source_port: str, target: str, target_port: str) -> ConnectionPlan:
    return ConnectionPlan.model_validate(
        {
            "from": PortRef(function=source, port=source_port),
            "to": PortRef(function=target, port=target_port),
        }
    )
