# SPDX-License-Identifier: Apache-2.0
"""Log lines of a container: JSON, one object a line, or text for people; who is worked on is in every line.

No line holds a credential: what looks like one is struck out, whoever wrote it into a message.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Literal

Format = Literal["json", "text"]

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s%(about)s"
ABOUT = ("controller", "namespace", "name", "uid")

_Describe = Callable[[], Mapping[str, str]]
_work: ContextVar[_Describe | None] = ContextVar("accelchain_work", default=None)

_SECRETS = re.compile(
    r"(?P<head>\bBearer\s+|\bBasic\s+|[?&]token=|\"token\":\s*\"|//[^/\s:@]+:)[^\s\"&@]+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
)


@contextmanager
def working_on(describe: _Describe) -> Iterator[None]:
    """Have the log lines of this task, and of tasks that it starts, tell what is worked on.

    Args:
        describe: Called for a line that is written, not before: most work writes none.
    """
    token = _work.set(describe)
    try:
        yield
    finally:
        _work.reset(token)


def about(record: logging.LogRecord) -> dict[str, str]:
    """Return what is worked on where the record was made; kopf's own records bring it along."""
    describe = _work.get()
    if describe is not None:
        return {key: value for key, value in describe().items() if value}
    ref = getattr(record, "k8s_ref", None) or {}
    return {key: str(ref[key]) for key in ABOUT if ref.get(key)}


def without_secrets(text: str) -> str:
    """Return the text with bearer tokens, basic credentials, passwords in addresses and JWTs struck out."""
    return _SECRETS.sub(lambda match: f"{match['head'] or ''}…", text)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, what is worked on, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **about(record),
        }
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = without_secrets(self.formatStack(record.stack_info))
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A record as a line for people, what is worked on at its end."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the exception."""
        told = " ".join(f"{key}={value}" for key, value in about(record).items())
        record.about = f" [{told}]" if told else ""
        return without_secrets(super().format(record))


@contextmanager
def log_to(stream: IO[str] | None = None, *, format: Format = "json", level: int = logging.INFO) -> Iterator[None]:
    """Send all records and Python's warnings to a stream (stderr) for as long as the context lasts."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(before)
        root.removeHandler(handler)
