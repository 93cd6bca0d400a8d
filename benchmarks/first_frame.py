# SPDX-License-Identifier: Apache-2.0
"""``accelchain run`` as the command line runs it, with a record that tells when the first frame was at the sinks.

A process of its own for start_up.py: ``first_frame.py MOMENT ARGUMENTS…``, where MOMENT is ``time.monotonic()`` just
before the process was started. Prints one line of JSON.
"""

from __future__ import annotations

import sys
import time

LOADED = time.monotonic()

import json  # noqa: E402  (everything else is part of what is timed)
from typing import Any  # noqa: E402

from accelchain.cli.main import main  # noqa: E402

marks: dict[str, float] = {"interpreter is up": LOADED}


def tell() -> None:
    """Have the run's record note the moments of what it hears."""
    from accelchain.cli.record import RunRecord

    begin, see, add_sample = RunRecord.__init__, RunRecord.see, RunRecord.add_sample

    def begun(self: RunRecord, *arguments: Any, **named: Any) -> None:
        marks["the file is read"] = time.monotonic()
        begin(self, *arguments, **named)

    def seen(self: RunRecord, obj: dict[str, Any], seconds: float) -> Any:
        marks.setdefault(f"first {obj['kind']}", time.monotonic())
        return see(self, obj, seconds)

    def sampled(self: RunRecord, document: dict[str, Any], seconds: float) -> None:
        add_sample(self, document, seconds)
        first = document["firstFrameSeconds"]
        if first is not None and "first frame" not in marks:
            marks["worker has its task"] = time.monotonic() - document["seconds"]
            marks["first frame"] = marks["worker has its task"] + first

    RunRecord.__init__, RunRecord.see, RunRecord.add_sample = begun, seen, sampled  # type: ignore[method-assign]


def measure(began: float, arguments: list[str]) -> dict[str, float]:
    """Run the command line; return the moments in seconds from the start of the process."""
    sys.argv = ["accelchain", *arguments]
    tell()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    return {name: round(moment - began, 3) for name, moment in sorted(marks.items(), key=lambda mark: mark[1])}


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]), sys.argv[2:])))
