"""Databases that hold what their server would never write: SQLite keeps anything in any column."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from awlog.model.times import Micros
from awlog.sources.opening import open_database
from awlog.sources.source import Source, SourceUnreadable
from tests.moving_in.databases import rust_database

TIME = "2024-01-01 00:00:00+00:00"
YEAR_NS = 366 * 86_400 * 10**9


def python_source(path: Path, *rows: tuple[Any, ...], key: str = "INTEGER PRIMARY KEY", data: object = None) -> Source:
    """With one bucket, whose number is 1, and these events without a type anywhere but for the key."""
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE bucketmodel (key INTEGER, id, created, name, type, client, hostname, datastr)")
        database.execute(f"CREATE TABLE eventmodel (id {key}, bucket_id, timestamp, duration, datastr)")
        database.execute("INSERT INTO bucketmodel VALUES (1, 'b', ?, ?, ?, ?, ?, ?)", (data,) * 6)
        database.executemany("INSERT INTO eventmodel VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
    return open_database(path, None)


def outcome(source: Source) -> tuple[list[tuple[Micros, Micros]], Counter[str]]:
    """Starts and durations of what is taken, and how often which reason to refuse."""
    taken, refused = [], Counter[str]()
    for step in source.steps():
        for found in step.found.values():
            taken += [(event.start_us, event.duration_us) for event in found.events]
            refused += Counter(found.refused)
    source.close()
    return taken, refused


@pytest.mark.parametrize("data", [None, 5, 1.5, b"\xff", "[1]", b"{}"])
def test_data_of_another_type_than_text_are_refused_and_stop_no_other_row(tmp_path: Path, data: object) -> None:
    source = python_source(tmp_path / "a.db", (1, 1, TIME, 1, "{}"), (2, 1, TIME, 1, data), data=data)
    taken, refused = outcome(source)
    assert len(taken) + refused.total() == 2
    assert len(taken) == (2 if data == b"{}" else 1)
    assert [bucket.id for bucket in source.buckets()] == ["b"]


@pytest.mark.parametrize("duration", [None, "nan", "inf", float("inf"), "x", b"\xff", 1e308, 1 << 62])
def test_a_duration_that_is_none_is_refused(tmp_path: Path, duration: object) -> None:
    taken, refused = outcome(python_source(tmp_path / "a.db", (1, 1, TIME, duration, "{}"), (2, 1, TIME, 1, "{}")))
    assert (len(taken), refused.total()) == (1, 1)


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ("TEXT", ["b", "a", None]),
        ("REAL", [1.5, 1.5, None]),
        ("INTEGER PRIMARY KEY", [-(1 << 63) + 1, 0, (1 << 63) - 1]),
    ],
)
def test_every_row_is_read_once_whatever_its_id(tmp_path: Path, key: str, ids: list[Any]) -> None:
    rows = [(each, 1, TIME, number, "{}") for number, each in enumerate(ids)]
    source = python_source(tmp_path / "a.db", *rows, key=key)
    assert isinstance(source.size, int)
    assert sorted(duration_us for _, duration_us in outcome(source)[0]) == [0, 1_000_000, 2_000_000]


def test_an_event_of_centuries_keeps_its_duration(tmp_path: Path) -> None:
    """Its nanoseconds do not fit 64 bits; also of one that ends centuries before it begins."""
    far = [(-290 * YEAR_NS, 290 * YEAR_NS), (290 * YEAR_NS, -290 * YEAR_NS), (-5, 5)]
    database = rust_database(tmp_path / "a.db", 5, {"b": [(*each, "{}") for each in far]})
    taken, refused = outcome(open_database(database, None))
    assert [duration_us for _, duration_us in taken] == [580 * YEAR_NS // 1000, 0, 0]
    assert not refused


def test_settings_that_are_numbers_are_read_as_such(tmp_path: Path) -> None:
    """As many zeros as the number says would fill the memory."""
    path = rust_database(tmp_path / "a.db", 5, {})
    database = sqlite3.connect(path)
    with database:
        database.execute("DROP TABLE key_value")
        database.execute("CREATE TABLE key_value (key, value, last_modified)")
        values = [("settings.a", 10**15, 0), ("settings.b", 1.5, 0), ("settings.c", '"x"', 0)]
        database.executemany("INSERT INTO key_value VALUES (?, ?, ?)", values)
    database.close()
    source = open_database(path, None)
    assert source.settings() == {"a": b"1000000000000000", "b": b"1.5", "c": b'"x"'}
    source.close()


def test_broken_names_of_tables_are_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE t (a)")
        database.execute("PRAGMA writable_schema = 1")
        database.execute("UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT)")
    database.close()
    with pytest.raises(SourceUnreadable, match=r"a\.db"):
        open_database(path, None)
