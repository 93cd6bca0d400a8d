# SPDX-License-Identifier: Apache-2.0
"""Workflows whose steps are DataFlows: one and many, loops, artifacts, and ordinary pods among them."""

from __future__ import annotations

import json
from pathlib import Path

from realkube.argo_store import PLACE, Store
from realkube.argo_team import (
    ArgoTeam,
    copying,
    dag,
    node,
    nodes,
    over,
    parameters,
    phase,
    shell,
    step,
    summary,
    task,
    workflow,
)


def test_one_step(team: ArgoTeam) -> None:
    given = {"frames": "frames", "film": "film", "flow": "dataflow", "where": "namespace", "count": "encode.frames"}
    name = team.submit(workflow("one", step("main", copying("one.mp4"), given)))
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)
    (flow,) = team.flows(name)
    found = parameters(node(ended, name))
    assert found.pop("count") == "100"
    assert found == {
        "frames": "100",
        "film": "file:///data/one.mp4",
        "flow": flow["metadata"]["name"],
        "where": team.namespace,
    }
    result = json.loads(node(ended, name)["outputs"]["result"])
    assert result["frames"] == 100
    assert result["outputs"] == {"film": "file:///data/one.mp4"}
    (owner,) = flow["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Workflow", name, ended["metadata"]["uid"])
    assert (team.folder / "one.mp4").stat().st_size > 0


def test_a_step_goes_on_with_what_another_one_gave(team: ArgoTeam) -> None:
    first = step("first", copying("first.mp4"), {"film": "film"})
    second = step("second", copying("second.mp4", source="{{inputs.parameters.film}}"), {"frames": "frames"})
    second["inputs"] = {"parameters": [{"name": "film"}]}
    handed = {"parameters": [{"name": "film", "value": "{{steps.first.outputs.parameters.film}}"}]}
    steps = [[{"name": "first", "template": "first"}], [{"name": "second", "template": "second", "arguments": handed}]]
    ended = team.until_ended(team.submit(workflow("two", {"name": "main", "steps": steps}, first, second)), 120)
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, "second")) == {"frames": "100"}
    assert (team.folder / "second.mp4").stat().st_size > 0


def test_steps_among_ordinary_pods_hand_over_artifacts(
    team: ArgoTeam, store: Store, video: Path, tmp_path: Path
) -> None:
    """fetch (a pod) puts a clip into S3, ours reads it there and writes a film there, publish (a pod) reads that."""
    store.put("clips/grey.mp4", video)
    kept = {"archive": {"none": {}}}
    fetch = shell("fetch", "cp /tmp/clip /tmp/fetched.mp4")
    fetch["inputs"] = {"artifacts": [{"name": "clip", "path": "/tmp/clip", "s3": {"key": "clips/grey.mp4"}}]}
    fetch["outputs"] = {"artifacts": [{"name": "fetched", "path": "/tmp/fetched.mp4", **kept}]}
    ours = step("copy", copying(source=""), {"film": "film"})
    ours["inputs"] = {"artifacts": [{"name": "video", "path": "/video"}]}
    ours["outputs"]["artifacts"] = [{"name": "film", "path": "/film"}]
    publish = shell("publish", "wc -c < /tmp/film.mp4 > /tmp/size && cp /tmp/film.mp4 /tmp/published.mp4")
    publish["inputs"] = {"artifacts": [{"name": "film", "path": "/tmp/film.mp4"}]}
    published = {"name": "published", "path": "/tmp/published.mp4", "s3": {"key": "published.mp4"}, **kept}
    publish["outputs"] = {
        "artifacts": [published],
        "parameters": [{"name": "size", "valueFrom": {"path": "/tmp/size"}}],
    }
    main = dag(
        "main",
        task("fetch"),
        task("copy", ["fetch"], arguments=_artifact("video", "{{tasks.fetch.outputs.artifacts.fetched}}")),
        task("publish", ["copy"], arguments=_artifact("film", "{{tasks.copy.outputs.artifacts.film}}")),
    )
    ended = team.until_ended(team.submit(workflow("mixed", main, fetch, ours, publish)), 120)
    assert phase(ended) == "Succeeded", summary(ended)
    film = parameters(node(ended, "copy"))["film"]
    assert film.startswith(f"s3://{PLACE.bucket}/")
    assert film.endswith("/film.mp4")
    size = int(parameters(node(ended, "publish"))["size"])
    assert store.get("published.mp4", tmp_path / "published.mp4").stat().st_size == size > 0


def _artifact(name: str, source: str) -> dict[str, object]:
    return {"artifacts": [{"name": name, "from": source}]}


def test_artifacts_from_a_pods_archive(team: ArgoTeam) -> None:
    """Argo packs a pod's file into a .tgz unless told not to."""
    fetch = shell("fetch", "cp /data/grey.mp4 /tmp/fetched.mp4")
    fetch["container"]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    fetch["outputs"] = {"artifacts": [{"name": "fetched", "path": "/tmp/fetched.mp4"}]}
    ours = step("copy", copying("unpacked.mp4", source=""), {"frames": "frames"})
    ours["inputs"] = {"artifacts": [{"name": "video", "path": "/video"}]}
    packed = _artifact("video", "{{tasks.fetch.outputs.artifacts.fetched}}")
    main = dag("main", task("fetch"), task("copy", ["fetch"], arguments=packed))
    claim = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    ended = team.until_ended(team.submit(workflow("packed", main, fetch, ours, volumes=claim)), 120)
    assert phase(ended) == "Succeeded", summary(ended)
    assert parameters(node(ended, "copy")) == {"frames": "100"}


def test_loops(team: ArgoTeam) -> None:
    """withItems, withParam (of an earlier pod's list) and withSequence, each a DataFlow for every item."""
    names = shell("names", 'echo \'["c", "d"]\' > /tmp/names')
    names["outputs"] = {"parameters": [{"name": "names", "valueFrom": {"path": "/tmp/names"}}]}
    ours = step("copy", copying("{{inputs.parameters.film}}.mp4"), {"film": "film"})
    ours["inputs"] = {"parameters": [{"name": "film"}]}
    main = dag(
        "main",
        task("names"),
        task("items", template="copy", withItems=["a", "b"], parameters={"film": "{{item}}"}),
        task(
            "param",
            ["names"],
            template="copy",
            withParam="{{tasks.names.outputs.parameters.names}}",
            parameters={"film": "{{item}}"},
        ),
        task(
            "sequence",
            template="copy",
            withSequence={"count": "2", "format": "s%d"},
            parameters={"film": "{{item}}"},
        ),
    )
    name = team.submit(workflow("loops", main, names, ours))
    ended = team.until_ended(name, 150)
    assert phase(ended) == "Succeeded", summary(ended)
    made = {
        n["displayName"]: parameters(n)["film"]
        for n in nodes(ended).values()
        if n["templateName"] == "copy" and "outputs" in n
    }
    assert sorted(made.values()) == [f"file:///data/{film}.mp4" for film in ("a", "b", "c", "d", "s0", "s1")]
    assert len(team.flows(name)) == 6


def test_a_skipped_step_makes_nothing(team: ArgoTeam) -> None:
    main = dag("main", task("never", when="1 == 2"))
    name = team.submit(workflow("skipped", main, step("never", copying("never.mp4"))))
    ended = team.until_ended(name)
    assert node(ended, "never")["phase"] == "Skipped"
    assert team.flows(name) == []


def test_a_stream_is_done_when_it_runs(team: ArgoTeam) -> None:
    """The next step begins beside it, and it ends with the workflow."""
    endless = copying("endless.mp4", dawdle={"seconds": 1.0}, mode="Stream")
    stream = step("stream", endless, {"flow": "dataflow"}, {"completeWhen": "Running"})
    main = dag("main", task("stream"), task("work", ["stream"]))
    name = team.submit(workflow("stream", main, stream, step("work", copying("work.mp4"))))
    team.until_workflow(name, lambda w: node(w, "stream").get("phase") == "Succeeded", 60, "the stream's node")
    began = parameters(node(team.workflow(name), "stream"))["flow"]
    assert team.status(began)["phase"] == "Running"
    assert phase(team.until_ended(name)) == "Succeeded"
    team.until_flows(name, over, 5, "the stream's end with its workflow")


def test_a_stream_that_belongs_to_nobody_goes_on(team: ArgoTeam) -> None:
    endless = copying("alone.mp4", dawdle={"seconds": 1.0}, mode="Stream")
    body = {"completeWhen": "Running", "owner": "None"}
    name = team.submit(workflow("alone", step("main", endless, {"flow": "dataflow"}, body)))
    ended = team.until_ended(name)
    assert phase(ended) == "Succeeded", summary(ended)
    flow = parameters(node(ended, name))["flow"]
    team.kubectl("delete", "workflow", name, "--timeout=30s", timeout=40)
    assert team.status(flow)["phase"] == "Running"
    team.kubectl("delete", "dataflow", flow, timeout=60)


def test_a_hook_is_a_step_too(team: ArgoTeam) -> None:
    hooks = {"exit": {"template": "beside"}}
    main = dag("main", task("work", hooks=hooks))
    work, beside = step("work", copying("work.mp4")), step("beside", copying("beside.mp4"))
    name = team.submit(workflow("hook", main, work, beside))
    ended = team.until_ended(name, 120)
    assert phase(ended) == "Succeeded", summary(ended)
    assert (team.folder / "beside.mp4").exists(), summary(ended)
    assert len(team.flows(name)) == 2
