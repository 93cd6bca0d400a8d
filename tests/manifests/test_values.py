# SPDX-License-Identifier: Apache-2.0
"""Values that can't be meant are refused, with the value's path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml


@pytest.mark.parametrize(
    ("values", "path", "why"),
    [
        ({"replicas": 3}, "", "additional properties 'replicas' not allowed"),
        ({"operators": {"replicas": 0}}, "/operators/replicas", "minimum"),
        ({"operators": {"replicas": "two"}}, "/operators/replicas", "want integer"),
        ({"operators": {"controllers": {"chains": {}}}}, "/operators/controllers", "'chains' not allowed"),
        ({"image": {"pullPolicy": "always"}}, "/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"),
        ({"worker": {"image": "x"}}, "/worker", "'image' not allowed"),
        (
            {"worker": {"devices": {"gpu": {"resources": {"gpu": "1"}}}}},
            "/worker/devices/gpu/resources",
            "'gpu' not allowed",
        ),
        ({"nodeAgent": {"pools": [{"name": "gpu"}]}}, "/nodeAgent/pools/0", "missing property 'nodeLabel'"),
        ({"nodeAgent": {"resources": {"limits": {"memory": "lots"}}}}, "/nodeAgent/resources/limits/memory", "lots"),
        ({"networkPolicy": {"apiServerCidrs": ["10.0.0.1"]}}, "/networkPolicy/apiServerCidrs/0", "10.0.0.1"),
        ({"accelchain-crds": {"x": 1}}, "/accelchain-crds", "'x' not allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else "",
)
def test_wrong_values_are_refused_by_path(refusal: Any, values: dict[str, Any], path: str, why: str) -> None:
    said = refusal(values)
    assert f"at '{path}': " in said
    assert why in said


def test_host_folders_are_refused_where_the_namespace_would_refuse_the_pods(refusal: Any, render: Any) -> None:
    pool = {"name": "fpga", "nodeLabel": {"key": "a", "value": "b"}, "hostPaths": [{"name": "x", "path": "/opt/x"}]}
    values = {"nodeAgent": {"pools": [pool]}, "namespace": {"create": True}}
    assert "pool fpga mounts folders of its host, which namespace.podSecurity restricted refuses" in refusal(values)
    values["namespace"] = {"create": True, "podSecurity": "privileged"}
    assert len(render(values).of("DaemonSet")) == 2


def test_the_schema_knows_every_value_and_nothing_else(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)

    def compare(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        assert schema["additionalProperties"] is False, path
        assert schema["properties"].keys() - {"global", "accelchain-crds"} == values.keys(), path
        for key, value in values.items():
            if "properties" in schema["properties"][key] and value:
                compare(schema["properties"][key], value, f"{path}.{key}")

    compare(schema, values, "values")
