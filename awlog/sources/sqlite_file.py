"""A SQLite file of another program, opened so that nothing of it changes, also while that program runs.

A file in WAL mode without a `-wal` beside it is used by nobody: it is opened as immutable, because SQLite would make that
file otherwise. Whether it stayed so is looked at again after each page. All other files are opened read-only, and read in
short pages: a program that wants to write waits for a page at most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from awlog.sources.source import SourceUnreadable

Row = tuple[Any, ...]

_PAGE_ROWS: Final = 8192
_PAGE_BYTES: Final = 8 << 20
# Rows between two looks at the size of a page.
_FETCHED_ROWS: Final = 256
_BUSY_S: Final = 30.0
_HEADER_BYTES: Final = 100
_WAL_MODE_AT: Final = 18
_MAGIC: Final = b"SQLite format 3\0"


class SqliteFile:
    """Texts come as bytes: what is in them is the reader's business. Raises SourceUnreadable throughout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from None
        if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
            raise SourceUnreadable(f"{path} is no SQLite file")
        self._wal = path.with_name(f"{path.name}-wal")
        self.is_without_wal = header[_WAL_MODE_AT] == 2 and not self._wal.exists()
        """In WAL mode, and no `-wal` beside it."""
        self._stamp = self._now()
        options = "mode=ro&immutable=1" if self.is_without_wal else "mode=ro"
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?{options}", uri=True, timeout=_BUSY_S, isolation_level=None
            )
            self._connection.text_factory = bytes
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        self._connection.close()

    def rows(self, statement: str, *values: object) -> list[Row]:
        """All at once, for what is small."""
        try:
            return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter of a message with a broken name in it
            raise self._unreadable(error) from None

    def one(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    def tables(self) -> dict[str, set[str]]:
        """The columns of each table."""
        names = [
            name.decode(errors="replace")
            for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: {
                column.decode(errors="replace")
                for (column,) in self.rows("SELECT name FROM pragma_table_info(?)", name)
            }
            for name in names
        }

    def pages(self, statement: str) -> Iterator[list[Row]]:
        """Rows in pages of bounded length. The statement takes the last row's first column, an integer of that row alone,
        and how many to give at most.
        """
        last = -(1 << 63)
        while page := self._page(statement, last):
            yield page
            last = page[-1][0]
            if self.is_without_wal and self._now() != self._stamp:
                raise SourceUnreadable(
                    f"{self.path} was changed while it was read: a server was started on it. "
                    "Run the import again: what is there already is not imported twice."
                )

    def _page(self, statement: str, last: int) -> list[Row]:
        page: list[Row] = []
        held_bytes = 0
        try:
            cursor = self._connection.execute(statement, (last, _PAGE_ROWS))
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                page += rows
                held_bytes += sum(len(row[-1] or b"") if isinstance(row[-1], bytes) else 8 for row in rows)
                if held_bytes > _PAGE_BYTES:
                    break
            cursor.close()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._unreadable(error) from None
        return page

    def _now(self) -> tuple[int, int, bool]:
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size, self._wal.exists()

    def _unreadable(self, error: sqlite3.Error | UnicodeDecodeError) -> SourceUnreadable:
        return SourceUnreadable(
            f"{self.path} cannot be read: {error}. Nothing of it was changed. If the server that wrote it ended in a crash, "
            "start and stop that server once, and try again."
        )
