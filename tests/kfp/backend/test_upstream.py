# SPDX-License-Identifier: Apache-2.0
"""The emulated backend runs upstream's pipelines as kfp.local does, and where the two differ, as the real one does."""

# no annotations from __future__: KFP reads the types of components and pipelines
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp_backend import local
from kfp_backend.backend import Backend, Run
from kfp_backend.phases import FAILED, SUCCEEDED
from kfp_backend.values import compact

SAME_IN_BOTH: dict[str, dict[str, Any]] = {
    "critical__collected_parameters": {},
    "critical__multiple_parameters_namedtuple": {},
    "essential__concat_message": {"message1": "a", "message2": "b"},
    "essential__pipeline_with_nested_conditions": {},
    "if_elif_else_with_oneof_parameters": {},
    "local_execution__local_execution_pipeline_with_retry": {},
}


def merged(told: dict[str, list[str]]) -> dict[str, Counter[str]]:
    """Return what tasks told by component: kfp.local numbers tasks of the same component over the whole run."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, texts in told.items():
        found[re.sub(r"-\d+$", "", name)].update(texts)
    return dict(found)


def told(run: Run) -> dict[str, list[str]]:
    """Return the output parameters of a run's containers."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in run.backend.records.executions.values():
        if each.kind == "Container" and each.outputs:
            found[each.task].append(compact(each.outputs))
    return found


@pytest.mark.parametrize("name", SAME_IN_BOTH)
def test_same_values_as_in_local_runs(
    name: str, upstream: Callable[[str], str], backend: Backend, tmp_path: Path, seeded: dict[str, str]
) -> None:
    text, given = upstream(name), dict(SAME_IN_BOTH[name])
    backend.environment = seeded
    counter = tmp_path / "counter"
    if "counter_path" in text:
        given["counter_path"] = str(counter)
    there, _ = local.run(text, tmp_path / "local", seeded, **given)
    counter.unlink(missing_ok=True)
    run = backend.run(text, **given)
    assert run.phase == SUCCEEDED, run.failures
    assert merged(told(run)) == merged(there) != {}


@dsl.component(base_image="python:3.12")
def split(text: str) -> list[str]:
    """Split a text."""
    return text.split()


@dsl.component(base_image="python:3.12")
def lengths(words: list[str], factor: float) -> dict[str, float]:
    """Return the length of each word."""
    return {word: len(word) * factor for word in words}


@dsl.component(base_image="python:3.12")
def write(word: str, number: int, file: dsl.Output[dsl.Dataset]) -> str:
    """Write a word into a file."""
    with open(file.path, "w") as target:
        target.write(word * number)
    file.metadata["letters"] = len(word)
    return word.upper()


@dsl.component(base_image="python:3.12")
def join(words: list[str], files: dsl.Input[list[dsl.Dataset]]) -> str:
    """Join words and what files hold."""
    return " ".join(words) + "|" + " ".join(open(file.path).read() for file in files)


@dsl.component(base_image="python:3.12")
def show(text: str) -> str:
    """Return what is given."""
    return text


@dsl.pipeline(name="inner")
def inner(word: str, number: int = 2) -> str:
    """Return a word, twice or not."""
    first = write(word=word, number=number)
    with dsl.If(first.outputs["Output"] == "AB"):
        short = show(text="short")
    with dsl.Else():
        long = show(text="long")
    return dsl.OneOf(short.output, long.output)  # type: ignore[no-any-return]


@dsl.pipeline(name="everything")
def everything(text: str = "ab cde f") -> None:
    """Use loops, branches, nested pipelines, lists of artifacts, structs and an exit handler."""
    last = show(text="last")
    with dsl.ExitHandler(last, name="guarded"):
        words = split(text=text)
        with dsl.ParallelFor(words.output, parallelism=2) as word:
            written = write(word=word, number=2)
            inner(word=word)
        join(words=dsl.Collected(written.outputs["Output"]), files=dsl.Collected(written.outputs["file"]))
        lengths(words=words.output, factor=1.5)
    with dsl.ParallelFor([{"w": "x", "n": "1"}, {"w": "yy", "n": "2"}]) as pair:
        show(text=pair.w)
        show(text=pair.n)


def test_all_that_a_pipeline_can_have(compiled: Callable[[Any], str], backend: Backend) -> None:
    run = backend.run(compiled(everything))
    assert run.phase == SUCCEEDED, run.failures

    def texts(*values: Any) -> Counter[str]:
        return Counter(compact({"Output": value}) for value in values)

    assert merged(told(run)) == {
        "split": texts(["ab", "cde", "f"]),
        "write": texts(*["AB", "CDE", "F"] * 2),  # in the loop, and in the nested pipeline
        "show": texts("short", "long", "long", "x", "1", "yy", "2", "last"),
        "join": texts("AB CDE F|abab cdecde ff"),
        "lengths": texts({"ab": 3.0, "cde": 4.5, "f": 1.5}),
    }
    assert run.artifacts("write")["file"].metadata["letters"] in (1.0, 2.0, 3.0)


def test_where_the_backend_is_not_as_local_runs(upstream: Callable[[str], str], backend: Backend) -> None:
    run = backend.run(upstream("local_execution__local_execution_pipeline_with_exit_handler"))
    assert run.outputs("record-exit") == {"Output": "exit:COMPLETE"}  # ML Metadata's word
    artifacts = backend.run(upstream("if_else_with_oneof_artifacts"))  # kfp.local refuses OneOf of artifacts
    assert artifacts.phase == SUCCEEDED, artifacts.failures
    loops = backend.run(upstream("pipeline_with_nested_loops"))  # driver/resolve.go takes the loop's items away first
    assert loops.phase == FAILED
    assert "evaluation of" in loops.failures[0] or "not found in inputs" in loops.failures[0]
