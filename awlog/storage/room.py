"""Is there room on the disk? And a reserve for when there is none: deleting needs some too, before it gives some back."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

from awlog.model.errors import InsufficientStorage, Unavailable

if TYPE_CHECKING:
    from awlog.storage.environment import Environment

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in _FULL)
# On a full disk LMDB's commit fails as EIO as often as with ENOSPC; less free space than this is taken for the cause.
_FULL_BELOW_BYTES: Final = 1 << 20

RESERVE_BYTES: Final = 4 << 20
# The file is made longer by this much at once.
_AHEAD_BYTES: Final = 1 << 20
# Pages that a commit writes to another place though nothing in them grows: from the roots of the tables down to the leaves
# that it touches, and the list of free pages. The tail records of a thousand buckets are some 40 of them.
_PATH_PAGES: Final = 64


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


class Reserve:
    """The end of the data file beyond the pages in use: room that only deletions may take.

    It is made ahead of the commits that need it, so that a full disk, a quota and the greatest length of a file refuse the
    room and not a commit half-way, and so that nobody else takes it. Where it cannot be made, what is free inside the file,
    where a deletion left it, counts as well: a commit is good if both together are as large as the reserve behind it.

    page_counts, require   committer thread, in the write transaction
    is_there               loop
    """

    def __init__(self, environment: Environment, size_bytes: int) -> None:
        """`size_bytes` 0: none is kept, and LMDB makes the file longer as it goes."""
        self._environment = environment
        self.size_bytes = size_bytes if hasattr(os, "posix_fallocate") else 0

    def page_count(self, txn: lmdb.Transaction, tables: Iterable[bytes]) -> int:
        """Pages of these tables as the transaction sees them. 1 µs each."""
        if not self.size_bytes:
            return 0
        stats = (txn.stat(self._environment.databases[name]) for name in tables)
        return sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)

    def require(self, txn: lmdb.Transaction, grown_pages: int) -> None:
        """Raises InsufficientStorage if too little would be left behind a commit that makes the tables this much larger.

        2 µs, and some 40 when the file is made longer, once in _AHEAD_BYTES.
        """
        least_bytes = self._least_bytes(grows=grown_pages > 0)
        if self.size_bytes and not self._is_left(txn, least_bytes, max(0, grown_pages) + _PATH_PAGES):
            raise no_room()

    def _least_bytes(self, *, grows: bool) -> int:
        """What makes nothing larger, a heartbeat that merges, gives back what it takes, two commits later: it may go on."""
        return self.size_bytes if grows else self.size_bytes // 2

    def is_there(self, *, grows: bool = True) -> bool:
        """Takes the room if there is some; might a small commit make the store larger then, or at least go on? 50 µs."""
        if is_read_only(self._environment.data_file):
            return False
        if not self.size_bytes:
            return True
        try:
            with self._environment.reading() as txn:
                return self._is_left(txn, self._least_bytes(grows=grows), (1 + grows) * _PATH_PAGES)
        except (lmdb.Error, OSError):
            return False

    def _is_left(self, txn: lmdb.Transaction, least_bytes: int, need_pages: int) -> bool:
        environment = self._environment
        used_bytes = environment.used_bytes()
        need_bytes = need_pages * environment.page_bytes
        wanted_bytes = used_bytes + need_bytes + least_bytes
        length_bytes = environment.data_file.stat().st_size
        if length_bytes >= wanted_bytes:
            return True
        if any(_lengthen(environment.data_file, length_bytes, wanted_bytes + ahead) for ahead in (_AHEAD_BYTES, 0)):
            return True
        # Made longer in part, perhaps.
        length_bytes = environment.data_file.stat().st_size
        return (
            length_bytes - self.page_count(txn, environment.databases) * environment.page_bytes
            >= need_bytes + least_bytes
        )


def _lengthen(file: Path, length_bytes: int, wanted_bytes: int) -> bool:
    """Gives the file room up to that length, if there is any."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, length_bytes, wanted_bytes - length_bytes)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True
