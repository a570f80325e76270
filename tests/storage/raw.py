"""Writing behind awlog's back: single rows of a store, with LMDB alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from awlog.storage import layout

MAIN: Final = 1
"""The number of bucket `main` in the fixture's store, of `quiet` 3, of `empty` 4; 2 was given to one that is gone."""


class Tables:
    """The rows of one write transaction, by the names of the sub-databases."""

    def __init__(self, environment: lmdb.Environment, txn: lmdb.Transaction) -> None:
        self._environment = environment
        self._txn = txn

    def keys(self, table: bytes) -> list[bytes]:
        return [bytes(key) for key in self._txn.cursor(self._of(table)).iternext(values=False)]

    def get(self, table: bytes, key: bytes) -> bytes:
        return bytes(self._txn.get(key, b"", db=self._of(table)))

    def put(self, table: bytes, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._of(table))

    def delete(self, table: bytes, key: bytes) -> None:
        assert self._txn.delete(key, db=self._of(table)), "only what is there is deleted"

    def drop(self, table: bytes) -> None:
        """The whole table, its name too."""
        self._txn.drop(self._of(table))

    def change(self, table: bytes, key: bytes, change: Callable[[bytes], bytes]) -> None:
        old = self.get(table, key)
        new = change(old)
        assert new != old, "a damage that changes nothing proves nothing"
        self.put(table, key, new)

    def _of(self, table: bytes) -> lmdb._Database:
        return self._environment.open_db(table, txn=self._txn, create=False)


@contextmanager
def tables(data_dir: Path) -> Iterator[Tables]:
    """The store must not be open in this process."""
    environment = lmdb.open(str(data_dir), max_dbs=16, map_size=1 << 26, sync=False)
    try:
        with environment.begin(write=True) as txn:
            yield Tables(environment, txn)
    finally:
        environment.close()


def main_key(seq: int) -> bytes:
    """The key of a record or a segment of bucket `main`."""
    return layout.seq_key(MAIN, seq)  # type: ignore[arg-type]


def flipped(value: bytes, at: int, bit: int = 0) -> bytes:
    """The value with one bit of one byte changed; a negative place counts from the end."""
    at %= len(value)
    return value[:at] + bytes([value[at] ^ 1 << bit]) + value[at + 1 :]
