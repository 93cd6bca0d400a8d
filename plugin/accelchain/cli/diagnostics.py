# SPDX-License-Identifier: Apache-2.0
"""Log lines of the parts: for whoever looks into them, never in the middle of what a user reads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def silence() -> None:
    """Print no log line; without a handler Python prints warnings."""
    logging.getLogger().addHandler(logging.NullHandler())


@contextmanager
def log_lines(*, verbose: bool, file: Path | None = None) -> Iterator[None]:
    """Send log lines and warnings to stderr where ``verbose``, else to ``file`` (made anew), else nowhere."""
    handler: logging.Handler = logging.NullHandler()
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
    elif file is not None:
        handler = logging.FileHandler(file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
