# SPDX-License-Identifier: Apache-2.0
"""The state folder of ``accelchain up``: who holds it, and what others find in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from accelchain.cli.errors import Refused


def state_folder() -> Path:
    """Return the folder that ``accelchain up`` keeps its kubeconfig in."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "accelchain"


def kubeconfig_path(folder: Path) -> Path:
    """Return where ``up`` writes its kubeconfig."""
    return folder / "kubeconfig"


def log_path(folder: Path) -> Path:
    """Return where ``up`` writes its log."""
    return folder / "up.log"


def up_runs(folder: Path) -> bool:
    """Tell whether an ``up`` holds the folder. A kubeconfig alone says nothing: a killed one leaves it behind."""
    try:
        with _facts_path(folder).open() as file:
            return not _locked(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def up_url(folder: Path) -> str:
    """Return the address of the API of a running ``up``; empty where none runs."""
    try:
        return str(json.loads(_facts_path(folder).read_text())["url"]) if up_runs(folder) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it is starting: nothing can talk to it yet


class StateFolder:
    """The folder while this process holds it."""

    def __init__(self, folder: Path, file: IO[str]) -> None:
        self.folder = folder
        self._file = file

    def tell(self, url: str) -> None:
        """Write down who holds the folder, and where the API is."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[StateFolder]:
    """Hold the folder; its kubeconfig and ``up.json`` are gone afterwards.

    Raises:
        Refused: another ``up`` holds it, or it can't be written.
    """
    facts = _facts_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = _open_locked(facts)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}; set XDG_STATE_HOME to a folder that can be written.") from None
    if file is None:
        raise Refused(f"accelchain up runs already (see {facts}); stop it first.")
    with file:
        try:
            yield StateFolder(folder, file)
        finally:
            kubeconfig_path(folder).unlink(missing_ok=True)
            facts.unlink(missing_ok=True)  # while it is locked: nobody else can hold it yet


def _facts_path(folder: Path) -> Path:
    return folder / "up.json"


def _open_locked(path: Path) -> IO[str] | None:
    """Return the open and locked file; None: somebody else holds it."""
    while True:
        file = path.open("a+")
        if not _locked(file, fcntl.LOCK_EX):
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the one who held it removed it meanwhile


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
