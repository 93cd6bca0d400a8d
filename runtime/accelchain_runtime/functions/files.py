# SPDX-License-Identifier: Apache-2.0
"""Files that sinks write: nobody sees them until they are whole, and an earlier result stays until then.

Where the file system can (``O_TMPFILE``: ext4, xfs, btrfs, tmpfs, overlay), an unfinished file has no name at all, so
that even a worker killed with -9 leaves nothing behind. Elsewhere (NFS) it has a name of its own beside the result.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from accelchain_runtime.engine.function import InputError

_NO_ANONYMOUS_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""What open(O_TMPFILE) answers where the file system or the kernel doesn't know it."""


class WriteError(Exception):
    """A result can't be written any further: disk full, folder gone."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's error in the block into a ``WriteError`` that names the file."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror or error}.") from error


class UnfinishedFile:
    """A file being written. ``commit`` puts it in place of ``path`` in one step, ``discard`` forgets it."""

    def __init__(self, path: Path, suffix: str = ".part", parameter: str = "uri") -> None:
        """Open an unfinished file beside ``path``; what is at ``path`` is not touched.

        Args:
            path: where the result will be. A link is followed: the file that it leads to is replaced.
            suffix: the end of the unfinished file's name, while it has one.
            parameter: the function's parameter that ``path`` came from.

        Raises:
            InputError: the folder is missing, not writable or full, or ``path`` is no regular file.
        """
        self.path = Path(os.path.realpath(path))
        self._suffix = suffix
        try:
            self._check()
            self._descriptor, self._name = self._open()
        except OSError as error:
            raise InputError(f"can't write {path}: {_reason(error, self.path)}.", parameter=parameter) from None
        self.file: BinaryIO = os.fdopen(self._descriptor, "wb", buffering=1 << 16)
        """Where the bytes go; seekable."""

    def commit(self) -> int:
        """Make the file durable, give it its name, and return its size in bytes.

        Raises:
            WriteError: it can't be written or named.
        """
        with writing(self.path):
            self.file.flush()
            os.fsync(self._descriptor)
            size = os.fstat(self._descriptor).st_size
            if self._name is None:
                self._name = self._link()
            self.file.close()
            os.replace(self._name, self.path)
            self._name = None
        return size

    def discard(self) -> None:
        """Forget the file, if it isn't committed. Callable in any state."""
        with suppress(OSError):  # closing writes what is buffered: of no interest here
            self.file.close()
        if self._name is not None:
            with suppress(FileNotFoundError):
                self._name.unlink()
            self._name = None

    def _check(self) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise FileExistsError
        if not self.path.parent.is_dir():
            raise NotADirectoryError
        free = os.statvfs(self.path.parent)
        if free.f_bavail == 0 and free.f_blocks > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> tuple[int, Path | None]:
        try:
            return os.open(self.path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), None
        except OSError as error:
            if error.errno not in _NO_ANONYMOUS_FILES:
                raise
        name = self._temporary_name()
        return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666), name

    def _link(self) -> Path:
        """Give the anonymous file a temporary name: only a rename replaces what is there, a link can't."""
        name = self._temporary_name()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Python follows the link in /proc only where it is given a folder to start from.
            os.link(f"/proc/self/fd/{self._descriptor}", name, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
        return name

    def _temporary_name(self) -> Path:
        return self.path.with_name(f".{self.path.name[:60]}.{secrets.token_hex(4)}{self._suffix}")


def _reason(error: OSError, path: Path) -> str:
    if isinstance(error, FileExistsError):
        return f"{path} is a folder" if path.is_dir() else f"{path} is no regular file"
    if isinstance(error, NotADirectoryError):
        return f"the folder {path.parent} does not exist"
    if isinstance(error, PermissionError):
        return f"the folder {path.parent} is not writable"
    return error.strerror or str(error)
