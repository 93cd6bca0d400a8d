# SPDX-License-Identifier: Apache-2.0
"""What containers meet in the emulated cluster: their Pod, its end, retries, the cache, S3."""

# no annotations from __future__: KFP reads the types of components and pipelines
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp_backend.backend import Backend
from kfp_backend.cluster import PODS, WORKFLOWS, Cluster
from kfp_backend.phases import FAILED, SUCCEEDED
from kfp_backend.store import S3Store

IMAGE = "python:3.12"
LOOK = """
import json, os, ssl, sys, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, namespace = open(folder + "token").read(), open(folder + "namespace").read()
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
url = f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods/{os.environ['KFP_POD_NAME']}"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
pod = json.load(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder + "ca.crt")))
assert pod["metadata"]["uid"] == os.environ["KFP_POD_UID"]
open(sys.argv[1], "w").write(pod["metadata"]["ownerReferences"][0]["name"])
"""


def container(*command: Any) -> dsl.ContainerSpec:
    """Return a container."""
    return dsl.ContainerSpec(image=IMAGE, command=list(command))


@dsl.container_component
def look(owner: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
    """Look its own Pod up."""
    return container("python3", "-c", LOOK, owner)


@dsl.container_component
def try_again(index: dsl.OutputPath(str), good: str):  # type: ignore[no-untyped-def, valid-type]
    """Fail until the attempt is the good one."""
    return container("sh", "-ec", 'test "$KFP_RETRY_INDEX" = "$1"; printf %s "$1" > "$0"', index, good)


@dsl.container_component
def wait_forever(folder: str):
    """Tell who it is, and wait; SIGTERM is told too, and not obeyed."""
    script = 'trap "touch $0/told" TERM; touch "$0/started"; while :; do sleep 0.1; done'
    return container("sh", "-c", script, folder)


@dsl.container_component
def write(text: str, file: dsl.Output[dsl.Dataset], folder: dsl.Output[dsl.Artifact]):  # type: ignore[no-untyped-def]
    """Write a file and a folder."""
    script = 'printf %s "$0" > "$1"; mkdir -p "$2/a"; printf x > "$2/a/b"; echo "$3"'
    return container("sh", "-ec", script, text, file.path, folder.path, "$(TEXT) $$(TEXT)")


@dsl.container_component
def read(file: dsl.Input[dsl.Dataset], folder: dsl.Input[dsl.Artifact], text: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
    """Return what is in a file and a folder."""
    return container("sh", "-ec", 'printf "%s %s" "$(cat "$1")" "$(cat "$2/a/b")" > "$0"', text, file.path, folder.path)


def test_a_pod_finds_the_workflow_that_owns_it(
    compiled: Callable[[Any], str], in_cluster: Backend, cluster: Cluster
) -> None:
    run = in_cluster.run(compiled(look))
    assert run.phase == SUCCEEDED, run.failures
    assert run.outputs("look") == {"owner": run.job.workflow}
    (pod,) = [each for each in cluster.objects(PODS) if each["metadata"]["name"] == run.pods[0].name]
    assert pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] == f"{run.job.workflow}.root.look.executor"
    assert pod["metadata"]["labels"]["pipeline/runid"] == run.run_id


def test_retries(compiled: Callable[[Any], str], backend: Backend) -> None:
    @dsl.pipeline(name="retries")
    def pipeline(good: str = "2") -> None:
        try_again(good=good).set_retry(3)

    run = backend.run(compiled(pipeline))
    assert run.phase == SUCCEEDED, run.failures
    assert run.outputs("try-again") == {"index": "2"}
    assert [pod.environment["KFP_RETRY_INDEX"] for pod in run.pods] == ["0", "1", "2"]
    (execution,) = run.executions("try-again")
    assert execution.output_artifacts["executor-logs"].uri.endswith("executor-logs-2")
    assert backend.run(compiled(pipeline), good="9").phase == FAILED


def test_terminate_ends_the_group_within_a_second(
    compiled: Callable[[Any], str], in_cluster: Backend, cluster: Cluster, tmp_path: Path
) -> None:
    run = in_cluster.start(compiled(wait_forever), folder=str(tmp_path))
    cluster.until((tmp_path / "started").exists, what="the container's start")
    run.terminate()
    assert run.wait() == FAILED
    assert (tmp_path / "told").exists()
    assert run.pods[0].process is not None and run.pods[0].process.poll() is not None
    workflow = cluster.find(WORKFLOWS, run.job.workflow)
    assert workflow is not None and workflow["spec"]["activeDeadlineSeconds"] == 0


def test_the_cache_looks_at_inputs(compiled: Callable[[Any], str], backend: Backend) -> None:
    text = compiled(write)
    first, second, third = (backend.run(text, text=word) for word in ("a", "a", "b"))
    assert [run.executions("write")[0].state for run in (first, second, third)] == ["COMPLETE", "CACHED", "COMPLETE"]
    assert second.artifacts("write")["file"].uri == first.artifacts("write")["file"].uri
    assert not second.pods


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_artifacts_go_to_the_store_and_come_back(
    scheme: str, compiled: Callable[[Any], str], s3: S3Store, backend: Backend
) -> None:
    @dsl.pipeline(name="handing")
    def pipeline(text: str = 'say "hi" $(x)') -> None:
        written = write(text=text).set_env_variable("TEXT", "hello")
        read(file=written.outputs["file"], folder=written.outputs["folder"])

    backend.store, backend.root = s3, f"{scheme}://mlpipeline/v2/artifacts"
    run = backend.run(compiled(pipeline))
    assert run.phase == SUCCEEDED, run.failures
    assert run.outputs("read") == {"text": 'say "hi" $(x) x'}
    written = run.artifacts("write")["file"]
    assert written.uri.startswith(f"{scheme}://mlpipeline/v2/artifacts/handing/{run.run_id}/write/")
    assert run.read(written) == b'say "hi" $(x)'
    logs = run.executions("write")[0].output_artifacts["executor-logs"]
    assert run.read(logs) == b"hello $(TEXT)\n"


def test_imported_artifacts_are_downloaded(compiled: Callable[[Any], str], s3: S3Store, backend: Backend) -> None:
    @dsl.container_component
    def show(file: dsl.Input[dsl.Artifact], text: dsl.OutputPath(str)):  # type: ignore[no-untyped-def, valid-type]
        return container("sh", "-ec", 'cat "$1" > "$0"', text, file.path)

    @dsl.pipeline(name="importing")
    def pipeline(uri: str = "s3://mlpipeline/input/text") -> None:
        imported = dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact, reimport=False)
        show(file=imported.output)

    s3.client.put_object(Bucket="mlpipeline", Key="input/text", Body=b"imported")
    backend.store, backend.root = s3, "s3://mlpipeline"
    run = backend.run(compiled(pipeline))
    assert run.phase == SUCCEEDED, run.failures
    assert run.outputs("show") == {"text": "imported"}
    refused = backend.run(compiled(pipeline), uri="stream://camera")
    assert refused.phase == FAILED and "unsupported Cloud bucket" in refused.failures[0]


def test_a_task_that_is_not_triggered_takes_its_dependants_with_it(
    compiled: Callable[[Any], str], backend: Backend
) -> None:
    @dsl.pipeline(name="skipping")
    def pipeline(text: str = "a") -> None:
        with dsl.If(text == "b"):
            first = write(text=text)
            read(file=first.outputs["file"], folder=first.outputs["folder"])
        write(text="c")

    run = backend.run(compiled(pipeline))
    assert run.phase == SUCCEEDED, run.failures
    assert [execution.state for execution in run.executions("condition-1")] == ["CANCELED"]
    assert [execution.state for execution in run.executions("write-2")] == ["COMPLETE"]
    assert not run.executions("read")
    assert run.count == 1 + 1 + 2  # the root's driver, the branch's driver, and driver and executor of one task
