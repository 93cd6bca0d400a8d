# SPDX-License-Identifier: Apache-2.0
"""What the chart makes of values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accelchain.cli.commands import cli
from accelchain_operators.reconcile.pod import STATUS_PORT
from accelchain_operators.reconcile.worker_options import load_worker_options

OPERATORS = ("chain", "dataflow", "scheduler")
POOLS = [
    {
        "name": "nvidia",
        "nodeLabel": {"key": "nvidia.com/gpu.present", "value": "true"},
        "runtimeClassName": "nvidia",
        "env": {"NVIDIA_VISIBLE_DEVICES": "all"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    },
    {
        "name": "fpga",
        "nodeLabel": {"key": "example.com/fpga", "value": "true"},
        "supplementalGroups": [44],
        "hostPaths": [{"name": "xrt", "path": "/opt/xilinx", "readOnly": True}],
    },
]


@pytest.mark.parametrize("name", ["accelchain", "accelchain-crds"])
def test_helm_finds_no_fault(helm: Any, chart: Path, name: str) -> None:
    assert "no error" in helm("lint", chart.parent / name).stdout


def test_every_operator_runs_its_controller_alone(installed: Any) -> None:
    for name in OPERATORS:
        deployment = installed.named("Deployment", f"accelchain-{name}")
        pod = deployment["spec"]["template"]["spec"]
        assert deployment["spec"]["replicas"] == 2
        assert pod["serviceAccountName"] == f"accelchain-{name}"
        (container,) = pod["containers"]
        assert container["command"] == ["accelchain", "operator"]
        assert [a for a in container["args"] if a.startswith("--controllers")] == [f"--controllers={name}"]
        assert "--leader-elect" in container["args"]
        # POD_NAMESPACE is where the Lease lies
        fields = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"] if "valueFrom" in e}
        assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
        (budget,) = [b for b in installed.of("PodDisruptionBudget") if b["metadata"]["name"] == f"accelchain-{name}"]
        assert budget["spec"]["selector"] == deployment["spec"]["selector"]
        (spread,) = pod["topologySpreadConstraints"]
        assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


def test_probes_and_services_use_the_ports_of_the_flags(installed: Any) -> None:
    for pod in installed.pods().values():
        (container,) = pod["containers"]
        flags = dict(argument.split("=", 1) for argument in container["args"] if "=" in argument)
        ports = {port["name"]: f":{port['containerPort']}" for port in container["ports"]}
        assert ports == {"health": flags["--health-address"], "metrics": flags["--metrics-address"]}
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    (service,) = installed.of("Service")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["metrics"]
    for owner in installed.of("Deployment", "DaemonSet"):
        labels = owner["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_objects_lie_in_the_releases_namespace_and_say_what_they_are(installed: Any) -> None:
    cluster = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "FunctionType"}
    cluster |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for obj in installed:
        meta = obj["metadata"]
        assert meta.get("namespace") == (None if obj["kind"] in cluster else "accelchain-system"), meta["name"]
        assert meta["labels"]["app.kubernetes.io/part-of"] == "accelchain", meta["name"]
    (namespace,) = installed.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_images_come_from_one_registry_with_one_tag_or_are_taken_whole(render: Any) -> None:
    found = render(
        {"image": {"registry": "registry.example/team", "tag": "1.2.3", "node": "other.example/node@sha256:ab"}}
    )
    images = {name: pod["containers"][0]["image"] for name, pod in found.pods().items()}
    assert images == {
        **{f"accelchain-{name}": "registry.example/team/accelchain-operator:1.2.3" for name in OPERATORS},
        "accelchain-node": "other.example/node@sha256:ab",
    }
    options = yaml.safe_load(found.named("ConfigMap", "accelchain-worker")["data"]["worker.yaml"])
    assert options["image"] == "registry.example/team/accelchain-worker:1.2.3"


def test_the_operators_read_the_worker_options(render: Any, installed: Any, tmp_path: Path) -> None:
    values = {
        "image": {"tag": "7"},
        "worker": {
            "resources": {"limits": {"memory": "2Gi"}},
            "devices": {"fpga": {"resources": {"example.com/fpga": "1"}}},
            "allow": ["10.0.0.0/8"],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
    }
    file = tmp_path / "worker.yaml"
    file.write_text(render(values).named("ConfigMap", "accelchain-worker")["data"]["worker.yaml"])
    options = load_worker_options(file)
    assert options.image == "localhost/accelchain-worker:7"
    assert options.confined
    assert options.allow == ("10.0.0.0/8",)
    assert options.resources.limits == {"memory": "2Gi"}
    assert options.devices["fpga"].resources == {"example.com/fpga": "1"}
    pod = installed.pods()["accelchain-dataflow"]
    (argument,) = [a for a in pod["containers"][0]["args"] if a.startswith("--worker-config=")]
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert argument == f"--worker-config={mounts['worker']}/worker.yaml"
    assert {"name": "worker", "configMap": {"name": "accelchain-worker"}} in pod["volumes"]


def test_a_change_of_the_worker_options_restarts_the_operator_that_reads_them(render: Any) -> None:
    def marks(values: dict[str, Any]) -> list[str | None]:
        found = render(values)
        templates = [found.named("Deployment", f"accelchain-{n}")["spec"]["template"] for n in OPERATORS]
        return [t["metadata"]["annotations"].get("accelchain.io/worker-options") for t in templates]

    before, after = marks({}), marks({"worker": {"confined": False}})
    assert before[0] is before[2] is None
    assert before[1] != after[1]


def test_one_operator_may_differ_from_the_others(render: Any) -> None:
    found = render(
        {"operators": {"controllers": {"dataflow": {"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}}}}}
    )
    replicas = {d["metadata"]["name"]: d["spec"]["replicas"] for d in found.of("Deployment")}
    assert replicas == {"accelchain-chain": 2, "accelchain-dataflow": 3, "accelchain-scheduler": 2}
    memory = {
        n: p["containers"][0]["resources"]["limits"]["memory"] for n, p in found.pods().items() if "node" not in n
    }
    assert memory == {"accelchain-chain": "256Mi", "accelchain-dataflow": "1Gi", "accelchain-scheduler": "256Mi"}


def test_a_node_gets_exactly_one_agent(render: Any) -> None:
    agents = {
        a["metadata"]["name"]: a["spec"]["template"]["spec"]
        for a in render({"nodeAgent": {"pools": POOLS}}).of("DaemonSet")
    }
    linux = {"kubernetes.io/os": "linux"}
    for labels, agent in (
        ({}, "accelchain-node"),
        ({"nvidia.com/gpu.present": "true"}, "accelchain-node-nvidia"),
        ({"example.com/fpga": "true"}, "accelchain-node-fpga"),
        ({"nvidia.com/gpu.present": "true", "example.com/fpga": "true"}, "accelchain-node-nvidia"),
    ):
        assert [name for name, pod in agents.items() if _runs_on(pod, linux | labels)] == [agent]


def _runs_on(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    if not pod["nodeSelector"].items() <= labels.items():
        return False
    required = pod.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    (term,) = required["nodeSelectorTerms"] if required else ({"matchExpressions": []},)
    assert all(e["operator"] == "NotIn" for e in term["matchExpressions"])
    return all(labels.get(e["key"]) not in e["values"] for e in term["matchExpressions"])


def test_a_pool_of_gpu_nodes_sees_the_cards_without_taking_one(render: Any) -> None:
    pod = render({"nodeAgent": {"pools": POOLS}}).pods()["accelchain-node-nvidia"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in pod["containers"][0]["env"]
    assert not [r for kind in pod["containers"][0]["resources"].values() for r in kind if "/" in r]


def test_network_policies_cover_every_pod_and_only_one_may_reach_workers(render: Any) -> None:
    found = render({"nodeAgent": {"pools": POOLS}})
    policies = {p["metadata"]["name"]: p["spec"] for p in found.of("NetworkPolicy")}
    owners = {o["metadata"]["name"]: o["spec"]["selector"] for o in found.of("Deployment", "DaemonSet")}
    assert {name: spec["podSelector"] for name, spec in policies.items()} == owners
    for name, spec in policies.items():
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert sorted(port["port"] for rule in spec["ingress"] for port in rule["ports"]) == ["health", "metrics"]
        reached = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
        assert reached == {443, 6443, 53} | ({STATUS_PORT} if name == "accelchain-dataflow" else set())


def test_what_is_switched_off_is_not_there(render: Any) -> None:
    found = render(
        {
            "nodeAgent": {"enabled": False},
            "networkPolicy": {"enabled": False},
            "operators": {"podDisruptionBudget": False},
        }
    )
    gone = {"CustomResourceDefinition", "FunctionType", "DaemonSet", "NetworkPolicy", "PodDisruptionBudget"}
    gone |= {"ValidatingAdmissionPolicy", "ServiceMonitor", "Namespace"}
    assert gone.isdisjoint({obj["kind"] for obj in found})
    assert len(found.of("Deployment")) == 3


def test_prometheus_finds_the_metrics(render: Any) -> None:
    found = render({"metrics": {"serviceMonitor": True, "serviceMonitorLabels": {"release": "prometheus"}}})
    (monitor,), (service,) = found.of("ServiceMonitor"), found.of("Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize("command", ["operator", "node"])
def test_every_flag_is_one_of_the_command(render: Any, command: str) -> None:
    params = cli.get_command(click.Context(cli), command).params
    known = {option for parameter in params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {
        argument.partition("=")[0]
        for pod in render({"namespaces": ["a"]}).pods().values()
        for container in pod["containers"]
        if container["command"] == ["accelchain", command]
        for argument in container["args"]
    }
    assert used
    assert used <= known
