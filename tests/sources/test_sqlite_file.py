"""A database of another program is read as it is, and stays as it is, whatever that program does meanwhile."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from awlog.sources.source import SourceUnreadable
from awlog.sources.sqlite_file import SqliteFile

ROWS = "SELECT id, text FROM things WHERE id > ? ORDER BY id LIMIT ?"


def made(path: Path, mode: str, count: int = 10) -> Path:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, text TEXT)")
    with database:
        database.executemany("INSERT INTO things (text) VALUES (?)", ((f"é{n}",) for n in range(count)))
    database.close()
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_reading_leaves_no_trace(tmp_path: Path, mode: str) -> None:
    """No byte, no time of change, no file beside it; also where the folder may not be written to."""
    path = made(tmp_path / "a ?#%.db", mode)
    before = path.read_bytes(), path.stat().st_mtime_ns
    file = SqliteFile(path)
    assert [row for page in file.pages(ROWS) for row in page][:2] == [(1, "é0".encode()), (2, "é1".encode())]
    assert names(tmp_path) == [path.name]
    file.close()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert names(tmp_path) == [path.name]


def test_what_a_running_program_has_only_in_its_log_is_read_too(tmp_path: Path) -> None:
    """In WAL mode: nothing of it is in the file itself yet."""
    path = made(tmp_path / "a.db", "wal")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO things (text) VALUES ('new')")
    file = SqliteFile(path)
    assert file.one("SELECT count(*) FROM things") == 11
    file.close()
    writer.execute("INSERT INTO things (text) VALUES ('newer')")
    writer.close()


def test_what_a_killed_program_left_in_its_log_is_read_and_left_there(tmp_path: Path) -> None:
    """The log is recovered by the program itself, when it starts again."""
    path = made(tmp_path / "a.db", "wal")
    crash = "import sqlite3, os, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None);"
    crash += "d.execute(\"INSERT INTO things (text) VALUES ('last')\"); os._exit(9)"
    subprocess.run([sys.executable, "-c", crash, str(path)], check=False)
    log = tmp_path / "a.db-wal"
    before = path.read_bytes(), log.read_bytes()
    file = SqliteFile(path)
    assert file.one("SELECT count(*) FROM things") == 11
    file.close()
    assert (path.read_bytes(), log.read_bytes()) == before


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_program_that_writes_between_two_pages_waits_for_nobody(tmp_path: Path, mode: str) -> None:
    """No lock is held from page to page; what comes behind the page in hand is read with the next."""
    path = made(tmp_path / "a.db", mode, 20_000)
    writer = sqlite3.connect(path, timeout=0, isolation_level=None)
    writer.execute("SELECT 1 FROM things").fetchall()  # it is running: in WAL mode its files are there
    file = SqliteFile(path)
    pages = file.pages(ROWS)
    assert len(next(pages)) == 8192
    writer.execute("INSERT INTO things (text) VALUES ('new')")
    assert sum(len(page) for page in pages) == 20_001 - 8192
    file.close()
    writer.close()


def test_a_program_that_starts_on_a_file_at_rest_is_noticed(tmp_path: Path) -> None:
    """It may have changed what was read already: the reading ends, and says that it can be begun again."""
    path = made(tmp_path / "a.db", "wal", 20_000)
    file = SqliteFile(path)
    pages = file.pages(ROWS)
    next(pages)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO things (text) VALUES ('new')")
    with pytest.raises(SourceUnreadable, match="Run the import again"):
        next(pages)
    writer.close()
    file.close()


def test_pages_of_long_rows_are_short(tmp_path: Path) -> None:
    """Memory is bounded by bytes, not by rows."""
    path = made(tmp_path / "a.db", "delete", 0)
    writer = sqlite3.connect(path)
    with writer:
        writer.executemany("INSERT INTO things (text) VALUES (?)", (("x" * 65_536,) for _ in range(1000)))
    writer.close()
    file = SqliteFile(path)
    sizes = [sum(len(row[1]) for row in page) for page in file.pages(ROWS)]
    assert sum(sizes) == 1000 * 65_536
    assert max(sizes) <= 32 << 20
    file.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"no database", b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["empty", "text", "short", "noise"],
)
def test_what_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    """Nothing is made of it, and nothing of it is changed."""
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"a\.db"):
        SqliteFile(path).tables()
    assert path.read_bytes() == content
    assert names(tmp_path) == ["a.db"]


def test_a_file_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    """SQLite would make it."""
    with pytest.raises(SourceUnreadable, match=r"a\.db cannot be read: No such file"):
        SqliteFile(tmp_path / "a.db")
    assert names(tmp_path) == []
