# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a body: the node fails at once with a sentence that names the field, and nothing else notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from realkube.argo_team import ArgoTeam, copying, node, parameters, phase, step, summary, workflow


def bodies() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield names of mistakes, templates with them, and what the node's message has to say."""
    good = step("main", copying("bad.mp4"))

    def broken(change: str, value: Any, dataflow: bool = False) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(json.dumps(good))
        body = template["plugin"]["accelchain"]
        target = body["dataflow"] if dataflow else body
        if value is None:
            del target[change]
        else:
            target[change] = value
        return template

    yield "unknown-field", broken("dataflwo", {}), "plugin.accelchain.dataflwo"
    yield "no-flow", broken("dataflow", None), "plugin.accelchain.dataflow"
    yield "no-node", broken("node", None), "plugin.accelchain.node"
    yield "fixed-node", broken("node", "someone-else"), "plugin.accelchain.node"
    yield "unknown-variable", broken("node", "{{node.nmae}}"), "plugin.accelchain.node"
    yield "wrong-type", broken("mode", "Quickly", dataflow=True), "plugin.accelchain.dataflow.mode"
    yield "unknown-spec", broken("chian", {}, dataflow=True), "plugin.accelchain.dataflow.chian"
    yield "not-here", broken("dryRun", True, dataflow=True), "plugin.accelchain.dataflow.dryRun"
    yield "no-mapping", {"name": "main", "plugin": {"accelchain": {"node": "{{node.name}}", "dataflow": 5}}}, "dataflow"
    nothing = step("main", copying("bad.mp4"), {"count": "encode.faces"})
    yield "no-such-output", nothing, "outputs.parameters[0]"
    chain = broken("chainRef", {"name": "nowhere"}, dataflow=True)
    del chain["plugin"]["accelchain"]["dataflow"]["chain"]
    yield "no-such-chain", chain, "nowhere"
    function = json.loads(json.dumps(good))
    function["plugin"]["accelchain"]["dataflow"]["chain"]["functions"][0]["type"] = "decode-vidoe"
    yield "no-such-function", function, "decode-vidoe"


BODIES = {name: (template, sentence) for name, template, sentence in bodies()}


@pytest.mark.parametrize("name", BODIES)
def test_a_mistake_is_told(team: ArgoTeam, name: str) -> None:
    template, sentence = BODIES[name]
    made = team.submit(workflow(name, template))
    ended = team.until_ended(made, 90)
    found = node(ended, made)
    assert found["phase"] == "Failed", summary(ended)
    assert sentence in found["message"]
    assert len(found["message"]) <= 1024


def test_others_never_notice(team: ArgoTeam) -> None:
    """A workflow with a good step beside broken ones."""
    broken, _ = BODIES["unknown-field"]
    bad = {**broken, "name": "bad"}
    good = step("good", copying("good.mp4"), {"frames": "frames"})
    group = [{"name": "good", "template": "good"}, {"name": "bad", "template": "bad"}]
    name = team.submit(workflow("beside", {"name": "main", "steps": [group]}, bad, good))
    ended = team.until_ended(name)
    assert phase(ended) == "Failed"
    assert node(ended, "bad")["phase"] == "Failed"
    assert node(ended, "good")["phase"] == "Succeeded", summary(ended)
    assert parameters(node(ended, "good")) == {"frames": "100"}


def test_what_is_not_ours_is_left_alone(team: ArgoTeam) -> None:
    """A template for another plugin: with agents Argo says that nobody took it, without them it waits."""
    foreign = {"name": "main", "plugin": {"somebody-elses": {"node": "{{node.name}}"}}}
    ours = step("ours", copying("ours.mp4"), {"frames": "frames"})
    group = [{"name": "ours", "template": "ours"}, {"name": "theirs", "template": "main"}]
    name = team.submit(workflow("foreign", {"name": "all", "steps": [group]}, foreign, ours))
    team.until_workflow(name, lambda w: node(w, "ours").get("phase") == "Succeeded", 90, "the end of our step")
    theirs = node(team.workflow(name), "theirs")
    assert theirs["phase"] in ("Pending", "Failed")
    assert "accelchain" not in theirs.get("message", "")
    assert len(team.flows(name)) == 1
