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

from accelchain_runtime.engine.function import FunctionError, InputError, SetupContext

_NO_ANONYMOUS_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""What open(O_TMPFILE) answers where the file system or the kernel doesn't know it."""


class WriteError(FunctionError):
    """A result can't be written any further: disk full, folder gone."""


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Turn an operating system's error in the block into a ``WriteError`` that names the result."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"can't write {name}: {error.strerror or error}.") from error


class UnfinishedFile:
    """A file being written: an ``Unfinished`` of ``functions.publication``.

    Everything happens relative to the folder that was opened at the start, so that a folder that is moved, or replaced
    by a link, leads nowhere else.
    """

    def __init__(self, path: Path, suffix: str = ".part", parameter: str = "uri", *, folder: int | None = None) -> None:
        """Open an unfinished file beside ``path``; what is at ``path`` is not touched.

        Args:
            path: where the result will be. A link is followed: the file that it leads to is replaced.
            suffix: the end of the unfinished file's name, while it has one.
            parameter: the function's parameter that ``path`` came from.
            folder: descriptor of the folder that ``path``'s last part lies in, closed by this object; then no link is
                followed. None: the path is looked up.

        Raises:
            InputError: the folder is missing, not writable or full, or ``path`` is no regular file.
        """
        self.path = path if folder is not None else Path(os.path.realpath(path))
        self._suffix = suffix
        self._folder = folder
        self._name: str | None = None
        try:
            if self._folder is None:
                self._folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._check(self._folder)
            self._descriptor = self._open(self._folder)
        except OSError as error:
            self._close_folder()
            raise InputError(f"can't write {path}: {_reason(error, self.path)}.", parameter=parameter) from None
        self.file: BinaryIO = os.fdopen(self._descriptor, "wb", buffering=1 << 16)
        """Where the bytes go; seekable."""

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self.path)

    def complete(self) -> int:
        """Make the file durable and return its size in bytes; it is not to be seen yet.

        Raises:
            WriteError: it can't be written.
        """
        with writing(self.name):
            self.file.flush()
            os.fsync(self._descriptor)
            return os.fstat(self._descriptor).st_size

    def publish(self) -> None:
        """Put the completed file in place.

        Raises:
            WriteError: it can't be named.
        """
        with writing(self.name):
            if self._folder is None:
                raise ValueError("the file was published or discarded before")
            if self._name is None:
                self._name = self._link(self._folder)
            os.replace(self._name, self.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._name = None
        self.discard()

    def discard(self) -> None:
        """Forget the file, if it isn't published. Callable in any state."""
        with suppress(OSError):  # closing writes what is buffered: of no interest here
            self.file.close()
        if self._name is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder)
            self._name = None
        self._close_folder()

    def _close_folder(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    def _check(self, folder: int) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(self.path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise FileExistsError
        free = os.fstatvfs(folder)
        if free.f_bavail == 0 and free.f_blocks > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self, folder: int) -> int:
        try:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_ANONYMOUS_FILES:
                raise
        name = self._temporary_name()
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=folder)
        self._name = name
        return descriptor

    def _link(self, folder: int) -> str:
        """Give the anonymous file a temporary name: only a rename replaces what is there, a link can't."""
        name = self._temporary_name()
        # Python follows the link in /proc only where it is given a folder to start from.
        os.link(f"/proc/self/fd/{self._descriptor}", name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        return name

    def _temporary_name(self) -> str:
        return f".{self.path.name[:60]}.{secrets.token_hex(4)}{self._suffix}"


def name_of_attempt(name: str, context: SetupContext) -> str:
    """Return the last part of a result's path as this attempt writes it.

    The attempts at a flow of mode Stream have a result each: the second one at out.mp4 writes out.2.mp4.
    """
    if context.mode != "Stream" or context.attempt == 1:
        return name
    stem, ending = os.path.splitext(name)
    return f"{stem}.{context.attempt}{ending}"


def _reason(error: OSError, path: Path) -> str:
    if isinstance(error, FileExistsError):
        return f"{path} is a folder" if path.is_dir() else f"{path} is no regular file"
    if isinstance(error, NotADirectoryError | FileNotFoundError):
        return f"the folder {path.parent} does not exist"
    if isinstance(error, PermissionError):
        return f"the folder {path.parent} is not writable"
    return error.strerror or str(error)
