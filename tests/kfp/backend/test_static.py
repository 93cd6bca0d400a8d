# SPDX-License-Identifier: Apache-2.0
"""What the backend runs without a word though it is wrong: values change, and only a look at the IR tells."""

# no annotations from __future__: KFP reads the types of components and pipelines
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from kfp_backend import static
from kfp_backend.backend import Backend
from kfp_backend.phases import SUCCEEDED
from kfp_backend.pretended import Pretender


@dsl.component(base_image="python:3.12")
def first() -> str:
    """Say something."""
    return "something"


@dsl.component(base_image="python:3.12")
def second(text: str, count: int) -> str:
    """Repeat it."""
    return text * count


@dsl.pipeline(name="two")
def two() -> None:
    """One after the other."""
    second(text=first().output, count=3)


def _dangling_key(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["dag"]["tasks"]["second"]["inputs"]["parameters"]
    inputs["text"]["taskOutputParameter"]["outputParameterKey"] = "nothing"


def _undeclared_input(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["dag"]["tasks"]["second"]["inputs"]["parameters"]
    inputs["more"] = {"runtimeValue": {"constant": "more"}}


def _broken_integer(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["dag"]["tasks"]["second"]["inputs"]["parameters"]
    inputs["count"]["runtimeValue"]["constant"] = 3.5


def _number_for_a_text(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["dag"]["tasks"]["second"]["inputs"]["parameters"]
    inputs["text"] = {"runtimeValue": {"constant": 3.0}}


def _no_outputs(spec: dict[str, Any]) -> None:
    del spec["components"]["comp-first"]["outputDefinitions"]


BREAKS: dict[Callable[[dict[str, Any]], None], str] = {
    _dangling_key: "root.second: input text is of output nothing, which nobody makes",
    _undeclared_input: "root.second: input more was never declared",
    _broken_integer: "root.second: input count is 3.5 for NUMBER_INTEGER",
    _number_for_a_text: "root.second: input text is 3.0 for STRING",
    _no_outputs: "root.second: input text is of output Output, which nobody makes",
}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__.strip("_"))
def test_only_a_look_at_the_wires_tells(
    broken: Callable[[dict[str, Any]], None], compiled: Callable[[Any], str], tmp_path: Path
) -> None:
    whole = yaml.safe_load(compiled(two))
    spec = copy.deepcopy(whole)
    broken(spec)
    assert (list(static.dangling(whole)), list(static.dangling(spec))) == ([], [BREAKS[broken]])
    told = []
    for each in (whole, spec):
        backend = Backend(tmp_path, str(tmp_path), execute=Pretender({}).execute, cache_disabled=True)
        run = backend.run(yaml.safe_dump(each))
        assert run.phase == SUCCEEDED, run.failures
        told.append(run.outputs("second"))
    assert told[0] != told[1]
