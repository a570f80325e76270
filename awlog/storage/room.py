"""Is the disk full? And a reserve for when it is: deleting needs room too, before it gives some back."""

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

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in _FULL)
# On a full disk LMDB's commit fails as EIO as often as with ENOSPC; less free space than this is taken for the cause.
_FULL_BELOW_BYTES: Final = 1 << 20

RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 4 << 20
# A start makes files of a few pages: with less than this it takes the reserve.
_START_BYTES: Final = 256 << 10


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


class Reserve:
    """A file that holds room on the disk. It is let go when a deletion finds the disk full, and taken again later."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """`size_bytes` 0: none is kept."""
        self._path = folder / RESERVE_FILE
        self._size_bytes = size_bytes
        self.is_held = self._length() >= size_bytes > 0

    def take(self) -> None:
        """Takes the room, if there is more than that left on the disk. A disk that refuses is tried again another time."""
        if self.is_held or not self._size_bytes or free_bytes(self._path.parent) < 2 * self._size_bytes:
            return
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            finally:
                os.close(descriptor)
            self.is_held = True
        except OSError:
            self.let_go()

    def let_go(self) -> None:
        """The room is there for whoever writes next."""
        self.is_held = False
        try:
            os.truncate(self._path, 0)
        except OSError:
            return  # it is not there

    def make_room_to_start(self) -> None:
        """Lets go if the disk is so full that not even a start finds room for its files."""
        if free_bytes(self._path.parent) < _START_BYTES:
            self.let_go()

    def _length(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
