# SPDX-License-Identifier: Apache-2.0
"""``accelchain fuse`` on files of Argo's and on generated workflows. Prints one JSON document; times are milliseconds.

``fuse`` is the rewriting alone, of a document that is parsed; ``whole`` is from text to text. Every generated workflow
is run by the tests' plain executor before and after, and the chains are compared with those found by brute force.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from accelchain.argo.core.documents import is_argo
from accelchain.argo.core.yaml_text import read, write
from accelchain.argo.fuse import Functions, fuse, pieces, restored
from accelchain.argo.lint import TextError, load
from accelchain.cli.installed import function_types

REPOSITORY = Path(__file__).parents[1]
GOAL_MS = 100.0


def _module(name: str) -> ModuleType:
    path = REPOSITORY / "tests/argo/fuse" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"fuse_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its CPU time in ms."""
    start = time.process_time()
    result = call()
    return result, (time.process_time() - start) * 1e3


def from_text(text: str, functions: Functions) -> tuple[str, float]:
    """Return the text of a file after fuse, and the time of the rewriting alone in ms."""
    written, alone = "", 0.0
    for piece in pieces(text):
        load(piece.text, "file")  # as the command does: it refuses what is no YAML
        values, changed = [], False
        for value in read(piece.text):
            if is_argo(value):
                found, spent = timed(partial(fuse, value, "w", functions))
                alone, changed = alone + spent, changed or found.changed
            values.append(found.document if is_argo(value) else value)
        written += write(values) if changed else piece.text
    return written, alone


def files(folder: Path) -> dict[str, Any]:
    """Fuse all files of a folder; ``refused`` are those with a key that is there twice."""
    functions, whole, alone, refused, changed = Functions(function_types()), [], [], 0, 0
    for file in sorted(folder.glob("*.yaml")):
        try:
            (written, spent), total = timed(partial(from_text, file.read_text(), functions))
        except TextError:
            refused += 1
            continue
        changed += written != file.read_text()
        whole.append(total)
        alone.append(spent)
    return {"files": len(whole), "refused": refused, "changed": changed} | _times(alone, whole)


def generated(number: int) -> dict[str, Any]:
    """Fuse generated workflows, and compare their results."""
    conftest = _module("conftest")
    functions, whole, alone = Functions(conftest.TYPES), [], []
    counts = {"chains": 0, "changed_meanings": 0, "chains_missed_or_wrong": 0, "not_restored": 0}
    for seed in range(number):
        made = conftest.generated.make(seed)
        text = write([made.document])
        (_, _), total = timed(partial(from_text, text, functions))
        found, spent = timed(partial(fuse, made.document, "w", functions))
        whole.append(total)
        alone.append(spent)
        counts["chains"] += len(made.expected)
        told = {(entry.template, entry.step) for entry in found.entries if entry.outcome == "fused"}
        counts["chains_missed_or_wrong"] += told != {(t, step) for t, steps in made.expected for step in steps}
        before, after = (conftest.plain.Plain(d, made.store).run() for d in (made.document, found.document))
        counts["changed_meanings"] += before != after
        counts["not_restored"] += found.changed and restored(found.document) != made.document
    return {"workflows": number} | counts | _times(alone, whole)


def _times(alone: list[float], whole: list[float]) -> dict[str, float]:
    if not alone:
        return {}
    return {
        "worst_fuse_milliseconds": round(max(alone), 2),
        "worst_whole_milliseconds": round(max(whole), 2),
        "median_whole_milliseconds": round(statistics.median(whole), 2),
    }


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, default=REPOSITORY.parent / "shared/data/argo-examples")
    parser.add_argument("--generated", type=int, default=1000)
    options = parser.parse_args()
    result = {"goal_milliseconds": GOAL_MS, "files": files(options.files), "generated": generated(options.generated)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
