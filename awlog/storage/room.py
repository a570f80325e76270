"""Is there room on the disk, and may it be written at all? Errors of the disk as ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from awlog.model.errors import InsufficientStorage, Unavailable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in _FULL)
# On a full disk LMDB's commit fails as EIO as often as with ENOSPC; less free space than this is taken for the cause.
_FULL_BELOW_BYTES: Final = 1 << 20


def is_full(error: Exception, folder: Path) -> bool:
    """Did a write in this folder fail for want of room: of the disk, a quota, or the greatest length of a file?"""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    if any(text in str(error) for text in _FULL_TEXTS) or free_bytes(folder) < _FULL_BELOW_BYTES:
        return True
    return _longest_bytes(folder) > _length_limit_bytes() - _FULL_BELOW_BYTES


def _longest_bytes(folder: Path) -> int:
    """The length of the longest file in this folder."""
    try:
        return max((path.stat().st_size for path in folder.iterdir()), default=0)
    except OSError:
        return 0


def _length_limit_bytes() -> int:
    """How long this process may make a file. A write that would go beyond it is cut short, which LMDB calls an EIO."""
    if sys.platform == "win32":
        return 1 << 62
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return 1 << 62 if limit == resource.RLIM_INFINITY else limit


def no_room() -> InsufficientStorage:
    return InsufficientStorage(
        "There is no room on the disk: it is full, or a quota or the greatest length of a file is reached. Nothing of this "
        "write was kept; reads and deletions go on. Make room and retry."
    )


def is_read_only(file: Path) -> bool:
    """Is the file system of this file read-only? 5 µs."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def read_only() -> InsufficientStorage:
    return InsufficientStorage(
        "The file system of the store is read-only: nothing is written, reads go on. Writes work again when it is writable."
    )


@contextmanager
def told_as_ours(folder: Path) -> Iterator[None]:
    """Errors of the disk, while something new is made in this folder, as InsufficientStorage and Unavailable."""
    try:
        yield
    except lmdb.Error as error:
        kind = InsufficientStorage if is_full(error, folder) else Unavailable
        raise kind(f"{folder}: {error}. Nothing was changed.") from error
    except OSError as error:
        kind = InsufficientStorage if is_full(error, folder) else Unavailable
        raise kind(f"{error.filename or folder}: {error.strerror or error}. Nothing was changed.") from error


def free_bytes(folder: Path) -> int:
    """What is free on the disk of this folder; a great number if that cannot be told. About 2 µs."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 62
