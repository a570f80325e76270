"""What is to be sent, on disk: lines with numbers that rise by one, and the buckets to make first.

One SQLite file (the standard library's), one process. Every change is one transaction, synced before the call returns: it
survives `kill -9` and a power cut, and so do the numbers, by which the server knows what it has already.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from awlog.client.errors import QueueUnusable

OLDEST_BYTES: Final = 4 << 20
"""Lines of this length together are enough for one batch: they are held in memory until they are sent."""
_FORMAT: Final = 1
_TABLES: Final = (
    "CREATE TABLE producer (id TEXT NOT NULL, next_sequence INTEGER NOT NULL)",
    "CREATE TABLE lines (sequence INTEGER PRIMARY KEY, line BLOB NOT NULL)",
    "CREATE TABLE buckets (id TEXT PRIMARY KEY, body BLOB NOT NULL)",
    f"PRAGMA user_version = {_FORMAT}",
)


class DiskQueue:
    """Any thread, one at a time. Every method raises QueueUnusable."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it, for this process alone."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # what was recorded is its owner's alone
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self.producer_id = self._prepare()
            except BaseException:
                self._database.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _prepare(self) -> str:
        database = self._database
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            with self._transaction():
                for statement in _TABLES:
                    database.execute(statement)
                database.execute("INSERT INTO producer VALUES (?, 1)", (str(uuid.uuid4()),))
        elif found != _FORMAT:
            raise QueueUnusable(f"The queue {self._path} has format {found}; this client knows {_FORMAT}")
        if database.execute("SELECT 1 FROM lines LIMIT 1").fetchone() is None:
            database.execute("VACUUM")  # gives back the room that an outage took
        (producer_id,) = database.execute("SELECT id FROM producer").fetchone()
        return str(producer_id)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # on a full disk SQLite has rolled back already
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()

    def last_sequence(self) -> int:
        """The number of the line that was queued last, sent or not; 0 before the first."""
        try:
            (following,) = self._database.execute("SELECT next_sequence FROM producer").fetchone()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return int(following) - 1

    def append(self, lines: Iterable[bytes]) -> int:
        """Adds lines behind the others; on the disk when it returns. Gives the number of the last."""
        try:
            with self._transaction():
                numbered = list(enumerate(lines, start=self.last_sequence() + 1))
                self._database.executemany("INSERT INTO lines VALUES (?, ?)", numbered)
                following = numbered[-1][0] + 1 if numbered else self.last_sequence() + 1
                self._database.execute("UPDATE producer SET next_sequence = ?", (following,))
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return following - 1

    def oldest(self, count_max: int) -> tuple[int, list[bytes]]:
        """The lines to be sent next, with the number of the first; they stay until they are dropped. No more than fill
        OLDEST_BYTES.
        """
        first, lines, held_bytes = 0, [], 0
        try:
            rows = self._database.execute("SELECT sequence, line FROM lines ORDER BY sequence LIMIT ?", (count_max,))
            for sequence, line in rows:
                first = first or sequence
                lines.append(line)
                held_bytes += len(line)
                if held_bytes >= OLDEST_BYTES:
                    break
            rows.close()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return first, lines

    def drop(self, through: int) -> None:
        """The server has the lines up to this number."""
        self._change("DELETE FROM lines WHERE sequence <= ?", (through,))

    def add_bucket(self, bucket_id: str, body: bytes) -> None:
        """A bucket to make before the next lines are sent."""
        self._change("INSERT OR REPLACE INTO buckets VALUES (?, ?)", (bucket_id, body))

    def buckets(self) -> list[tuple[str, bytes]]:
        try:
            return self._database.execute("SELECT id, body FROM buckets").fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def drop_bucket(self, bucket_id: str) -> None:
        self._change("DELETE FROM buckets WHERE id = ?", (bucket_id,))

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> QueueUnusable:
        return QueueUnusable(f"The queue {self._path} cannot be used: {error}. Does another process have it?")
