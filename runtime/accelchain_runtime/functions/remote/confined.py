# SPDX-License-Identifier: Apache-2.0
"""Files within volumes: opened by the kernel from the volume's folder on, so that no link and no race leads out of it.

``openat2`` with ``RESOLVE_BENEATH`` does it in one step where the kernel has it and the container's seccomp profile
lets it through; elsewhere the path is walked part by part, each opened from the folder before it with ``O_NOFOLLOW``.
Links within a volume are followed as long as they are relative and stay within it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from accelchain_runtime.engine.reach import Volume

from .failures import Refused

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE = 0x02 | 0x08  # RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH
_UNKNOWN_CALL = {errno.ENOSYS, errno.EPERM}
_LINKS = 40
"""As many as the kernel follows."""


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class EscapeError(OSError):
    """A path leads out of its volume."""


def open_file(path: Path, volumes: Sequence[Volume]) -> int:
    """Open a file of a volume for reading.

    Returns:
        A descriptor of a regular file.

    Raises:
        Refused: it is in no volume, leads out of it, is missing, unreadable or no regular file.
    """
    volume, inside = _locate(path, volumes)
    # O_NONBLOCK: a pipe must not keep the worker waiting for who writes into it
    descriptor = _open(volume, inside, path, volumes, os.O_RDONLY | os.O_NONBLOCK)
    return regular(descriptor, path)


def regular(descriptor: int, path: Path) -> int:
    """Return a descriptor, opened with ``O_NONBLOCK``, if it is a regular file's; else close it.

    Raises:
        Refused: it is a folder, a pipe or a device.
    """
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise Refused(f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}.")
    return descriptor


def open_folder(path: Path, volumes: Sequence[Volume]) -> int:
    """Open the folder that a result will lie in.

    Args:
        path: the result.
        volumes: the plan's.

    Returns:
        A descriptor of the folder.

    Raises:
        Refused: it is in no volume or a read-only one, leads out of it, or is no folder.
    """
    volume, inside = _locate(path, volumes)
    if volume.read_only:
        raise Refused(f"{path}: the volume at {volume.mount} is read-only.")
    if inside.name in ("", "..") or path.name in (".", ".."):
        raise Refused(f"{path}: is a folder.")
    return _open(volume, inside.parent, path, volumes, os.O_PATH | os.O_DIRECTORY)


def beneath(folder: int, inside: PurePosixPath, flags: int) -> int:
    """Open ``inside``, relative to ``folder``, without ever leaving ``folder``.

    Raises:
        EscapeError: the path or a link in it leads out.
        OSError: the kernel's own reasons.
    """
    flags |= os.O_CLOEXEC
    try:
        return _openat2(folder, inside, flags)
    except OSError as error:
        if error.errno in _UNKNOWN_CALL:
            return walk(folder, inside, flags)
        raise


def walk(folder: int, inside: PurePosixPath, flags: int) -> int:
    """What ``beneath`` does, without ``openat2``. Stricter in one thing: ``..`` is looked up in the path walked so far.

    Raises:
        EscapeError: the path or a link in it leads out.
        OSError: the kernel's own reasons.
    """
    held = [os.dup(folder)]
    ahead = list(reversed(inside.parts))
    links = 0
    try:
        while ahead:
            part = ahead.pop()
            if part == "..":
                if len(held) == 1:
                    raise EscapeError(errno.EXDEV, "leads out of the volume")
                os.close(held.pop())
                continue
            wanted = flags if not ahead else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            try:
                held.append(os.open(part, wanted | os.O_NOFOLLOW, dir_fd=held[-1]))
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not _is_link(part, held[-1]):
                    raise
                links += 1
                if links > _LINKS:
                    raise
                target = PurePosixPath(os.readlink(part, dir_fd=held[-1]))
                if target.is_absolute():
                    raise EscapeError(errno.EXDEV, "leads out of the volume") from None
                ahead.extend(reversed(target.parts))
        last = held.pop()
        if not inside.parts or (links and stat.S_ISDIR(os.fstat(last).st_mode)):
            held.append(last)  # a folder that was walked through: open it as it was asked for
            return os.open(".", flags, dir_fd=last)
        return last
    finally:
        for descriptor in held:
            os.close(descriptor)


def _locate(path: Path, volumes: Sequence[Volume]) -> tuple[Volume, PurePosixPath]:
    """The volume that a path is written with, and the rest of it. ``..`` may not begin to leave: it is refused."""
    if ".." in path.parts:
        raise Refused(f"{path}: '..' is not allowed in an address. {_mounts(volumes)}")
    for volume in sorted(volumes, key=lambda each: -len(each.mount)):
        try:
            return volume, PurePosixPath(path).relative_to(PurePosixPath(volume.mount))
        except ValueError:
            continue
    raise Refused(f"{path}: is in no volume of this flow. {_mounts(volumes)}")


def _open(volume: Volume, inside: PurePosixPath, path: Path, volumes: Sequence[Volume], flags: int) -> int:
    try:
        folder = os.open(volume.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{path}: the volume at {volume.mount} is not there ({error.strerror}).") from None
    try:
        return beneath(folder, inside, flags)
    except OSError as error:
        raise Refused(f"{path}: {_reason(error, volume, path, volumes)}") from None
    finally:
        os.close(folder)


def _openat2(folder: int, inside: PurePosixPath, flags: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    how = _OpenHow(flags, 0, _RESOLVE)
    name = os.fsencode(str(inside))
    descriptor: int = libc.syscall(_SYS_OPENAT2, folder, name, ctypes.byref(how), ctypes.sizeof(how))
    if descriptor >= 0:
        return descriptor
    number = ctypes.get_errno()
    if number == errno.EXDEV:
        raise EscapeError(number, "leads out of the volume")
    if number == errno.EAGAIN:  # something was renamed meanwhile, and the kernel can't tell: the walk can
        raise OSError(errno.ENOSYS, os.strerror(number))
    raise OSError(number, os.strerror(number))


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _reason(error: OSError, volume: Volume, path: Path, volumes: Sequence[Volume]) -> str:
    if isinstance(error, EscapeError):
        return f"a link in it leads out of the volume at {volume.mount}. {_mounts(volumes)}"
    sayings = {
        errno.ENOENT: "there is no such file or folder",
        errno.EACCES: "this user may not open it",
        errno.ENOTDIR: f"{path.parent} is no folder",
        errno.ELOOP: "has too many links in it, or one that may not be followed",
        errno.ENAMETOOLONG: "its name is too long",
    }
    return f"{sayings.get(error.errno or 0, error.strerror)}."


def _mounts(volumes: Sequence[Volume]) -> str:
    if not volumes:
        return "This flow has no volumes: name them in spec.volumes."
    named = (f"{each.mount}{' (read-only)' if each.read_only else ''}" for each in volumes)
    return f"Its volumes are {', '.join(named)}."
