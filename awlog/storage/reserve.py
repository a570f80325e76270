"""Room on the disk that only deletions may take: a full disk needs some before it gets some back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import lmdb

from awlog.storage.room import is_read_only, no_room

RESERVE_BYTES: Final = 4 << 20
# The file is made longer by this much at once.
_AHEAD_BYTES: Final = 1 << 20
# Pages that a commit writes to another place though nothing in them grows: from the roots of the tables down to the leaves
# that it touches, and the list of free pages. The tail records of a thousand buckets are some 40 of them.
_PATH_PAGES: Final = 64


class Extent(Protocol):
    """What a reserve must know of the environment that owns it."""

    databases: dict[bytes, lmdb._Database]
    page_bytes: int

    @property
    def data_file(self) -> Path: ...

    def used_bytes(self) -> int:
        """Up to where the file was ever used."""

    def reading(self) -> AbstractContextManager[lmdb.Transaction]: ...


class Reserve:
    """The end of the data file beyond the pages in use: room that only deletions may take.

    It is made ahead of the commits that need it, so that a full disk, a quota and the greatest length of a file refuse the
    room and not a commit half-way, and so that nobody else takes it. Where it cannot be made, what is free inside the file,
    where a deletion left it, counts as well: a commit is good if both together are as large as the reserve behind it.

    is_ample, page_count, require   committer thread, in the write transaction
    is_there                        loop
    writing                         held by whoever writes to the file: where the file system cannot make a file longer, the
                                    C library does it by writing zeros, over what a commit may have put there meanwhile
    """

    def __init__(self, environment: Extent, size_bytes: int) -> None:
        """`size_bytes` 0: none is kept, and LMDB makes the file longer as it goes."""
        self._environment = environment
        self.writing = threading.Lock()
        self._length_bytes = 0  # the file's, when it was last looked at
        self.size_bytes = size_bytes if hasattr(os, "posix_fallocate") else 0

    def page_count(self, txn: lmdb.Transaction, tables: Iterable[bytes]) -> int:
        """Pages of these tables as the transaction sees them. 1 µs each."""
        if not self.size_bytes:
            return 0
        stats = (txn.stat(self._environment.databases[name]) for name in tables)
        return sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)

    def is_ample(self, grown_pages: int) -> bool:
        """Is enough left, at all events, behind a commit that makes the tables this much larger at the most? 3 µs."""
        environment = self._environment
        need_bytes = (grown_pages + _PATH_PAGES) * environment.page_bytes
        return self._length_bytes >= environment.used_bytes() + need_bytes + self.size_bytes

    def require(self, txn: lmdb.Transaction, grown_pages: int) -> None:
        """Raises InsufficientStorage if too little would be left behind a commit that makes the tables this much larger.

        2 µs, and some 40 when the file is made longer, once in _AHEAD_BYTES.
        """
        least_bytes, need_pages = self._least_bytes(grows=grown_pages > 0), max(0, grown_pages) + _PATH_PAGES
        if self.size_bytes and not self._is_left(txn, least_bytes, need_pages, may_lengthen=True):
            raise no_room()

    def _least_bytes(self, *, grows: bool) -> int:
        """What makes nothing larger, a heartbeat that merges, gives back what it takes, two commits later: it may go on."""
        return self.size_bytes if grows else self.size_bytes // 2

    def is_there(self, *, grows: bool = True) -> bool:
        """Takes the room if there is some; might a small commit make the store larger then, or at least go on? 50 µs.

        Beside a commit, which it does not wait for, it only looks.
        """
        if is_read_only(self._environment.data_file):
            return False
        if not self.size_bytes:
            return True
        may_lengthen = self.writing.acquire(blocking=False)
        try:
            with self._environment.reading() as txn:
                least_bytes, need_pages = self._least_bytes(grows=grows), (1 + grows) * _PATH_PAGES
                return self._is_left(txn, least_bytes, need_pages, may_lengthen=may_lengthen)
        except (lmdb.Error, OSError):
            return False
        finally:
            if may_lengthen:
                self.writing.release()

    def _is_left(self, txn: lmdb.Transaction, least_bytes: int, need_pages: int, *, may_lengthen: bool) -> bool:
        environment = self._environment
        used_bytes = environment.used_bytes()
        need_bytes = need_pages * environment.page_bytes
        wanted_bytes = used_bytes + need_bytes + least_bytes
        length_bytes = self._length_bytes = environment.data_file.stat().st_size
        if length_bytes >= wanted_bytes:
            return True
        if may_lengthen and any(
            _lengthen(environment.data_file, length_bytes, wanted_bytes + ahead) for ahead in (_AHEAD_BYTES, 0)
        ):
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
