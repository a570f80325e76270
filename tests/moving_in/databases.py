"""Databases as ActivityWatch's servers make them: tables and columns as they document them, rows of our own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PythonEvent = tuple[int, float, dict[str, Any]]
"""Start in µs, duration in s, data."""
RustEvent = tuple[int, int, str]
"""Start and end in ns, data as it stands in the file."""

_INDEXES = {
    1: ["events_bucketrow_index ON events(bucketrow)", "events_starttime_index ON events(starttime)"],
    5: ["events_bucketrow_starttime_endtime_index ON events(bucketrow, starttime DESC, endtime)"],
    6: ["events_bucketrow_endtime_starttime_index ON events(bucketrow, endtime, starttime DESC)"],
}


def python_database(path: Path, buckets: dict[str, Iterable[PythonEvent]]) -> Path:
    """As the Python server writes it, in WAL mode; events in the order given, bucket after bucket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(
        "CREATE TABLE bucketmodel (key INTEGER PRIMARY KEY, id TEXT UNIQUE, created DATETIME, name TEXT, type TEXT,"
        " client TEXT, hostname TEXT, datastr TEXT);"
        "CREATE TABLE eventmodel (id INTEGER PRIMARY KEY, bucket_id INTEGER, timestamp DATETIME, duration DECIMAL(10, 5),"
        " datastr TEXT);"
    )
    with database:
        for key, (bucket_id, events) in enumerate(buckets.items(), start=1):
            fields = (key, bucket_id, "2023-01-01 12:00:00.5+00:00", None, "currentwindow", "aw-watcher-window", "desk")
            database.execute("INSERT INTO bucketmodel VALUES (?, ?, ?, ?, ?, ?, ?, '{\"a\": 1}')", fields)
            database.executemany(
                "INSERT INTO eventmodel (bucket_id, timestamp, duration, datastr) VALUES (?, ?, ?, ?)",
                (
                    (key, (_EPOCH + timedelta(microseconds=start_us)).isoformat(" "), duration_s, json.dumps(data))
                    for start_us, duration_s, data in events
                ),
            )
    database.close()
    return path


def rust_database(
    path: Path, version: int, buckets: dict[str, Iterable[RustEvent]], settings: dict[str, Any] | None = None
) -> Path:
    """As the Rust server's migrations leave it at this version, 0 being a file without tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    if version >= 1:
        database.executescript(
            "CREATE TABLE buckets (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, type TEXT NOT NULL,"
            " client TEXT NOT NULL, hostname TEXT NOT NULL, created TEXT NOT NULL);"
            "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, bucketrow INTEGER NOT NULL,"
            " starttime INTEGER NOT NULL, endtime INTEGER NOT NULL, data TEXT NOT NULL,"
            " FOREIGN KEY (bucketrow) REFERENCES buckets(id));"
        )
    if version >= 2:
        database.execute("ALTER TABLE buckets ADD COLUMN data TEXT DEFAULT '{}'")
    if version >= 3:
        database.execute("ALTER TABLE buckets RENAME COLUMN data TO data_deprecated")
        database.execute("ALTER TABLE buckets ADD COLUMN data TEXT NOT NULL DEFAULT '{}'")
    if version >= 4:
        database.execute("CREATE TABLE key_value (key TEXT PRIMARY KEY, value TEXT, last_modified NUMBER NOT NULL)")
    for index in [index for since, indexes in _INDEXES.items() if since <= version for index in indexes]:
        database.execute(f"CREATE INDEX {index}")
    with database:
        database.execute(f"PRAGMA user_version = {version}")
        for row, (bucket_id, events) in enumerate(buckets.items(), start=1):
            fields = (row, bucket_id, "afkstatus", "aw-watcher-afk", "desk", "2023-01-01T12:00:00.123456789Z")
            database.execute(
                "INSERT INTO buckets (id, name, type, client, hostname, created) VALUES (?, ?, ?, ?, ?, ?)", fields
            )
            if version >= 3:
                database.execute('UPDATE buckets SET data = \'{"device_id": "x"}\' WHERE id = ?', (row,))
            database.executemany(
                "INSERT INTO events (bucketrow, starttime, endtime, data) VALUES (?, ?, ?, ?)",
                ((row, *event) for event in events),
            )
        for key, value in (settings or {}).items():
            database.execute("INSERT INTO key_value VALUES (?, ?, 0)", (f"settings.{key}", json.dumps(value)))
    database.close()
    return path
