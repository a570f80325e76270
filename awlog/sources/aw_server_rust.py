"""The database of ActivityWatch's Rust server, `sqlite.db`; its number is SQLite's `user_version`.

    buckets    id, name (the bucket's id), type, client, hostname, created (RFC 3339 text)
               from 2 on `data`, which is broken in 2 and mended in 3
    events     id, bucketrow (a bucket's id), starttime, endtime (ns since the epoch), data (JSON)
    key_value  key (`settings.` and the key), value (JSON); from 4 on

5 and 6 have other indexes only. Version 0 is a file in which no table has been made yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, parse_timestamp
from awlog.sources.event_table import event_steps
from awlog.sources.source import PayloadTexts, SourceBucket, Step, bucket_data, shown
from awlog.sources.sqlite_file import Row, SqliteFile

_EVENTS: Final = "SELECT rowid, bucketrow, starttime, endtime, data FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
_SETTINGS: Final = "SELECT key, value FROM key_value WHERE key GLOB 'settings.*' AND value IS NOT NULL"
# Since this version the column `data` of `buckets` holds what was sent.
_DATA_SINCE: Final = 3
# Half of what lies so far from the epoch that a difference fits 64 bits: 1824 to 2115.
_NEAR_NS: Final = 1 << 61
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class AwServerRustDatabase:
    """A `Source`. The whole table is read once, in the order of its rows, whatever indexes there are."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        version = int(file.one("PRAGMA user_version"))
        self.title = f"ActivityWatch's Rust server, {file.path} (version {version})"
        self._tables = file.tables()
        columns = self._tables.get("buckets", set())
        data = "data" if version >= _DATA_SINCE and "data" in columns else "NULL"
        found = (
            file.rows(f"SELECT id, name, type, client, hostname, created, {data} FROM buckets")  # noqa: S608
            if columns
            else []
        )
        buckets = [_bucket(row) for row in found]
        self._ids = {row[0]: bucket.id for row, bucket in zip(found, buckets, strict=True)}
        self._buckets = {bucket.id: bucket for bucket in buckets}
        self.size = file.one("SELECT coalesce(max(rowid), 0) FROM events") if "events" in self._tables else 0

    @staticmethod
    def wrote(tables: dict[str, set[str]]) -> bool:
        return {"bucketrow", "starttime", "endtime"} <= tables.get("events", set()) and "buckets" in tables

    def buckets(self) -> list[SourceBucket]:
        return list(self._buckets.values())

    def bucket(self, bucket_id: str) -> SourceBucket:
        return self._buckets[bucket_id]

    def settings(self) -> dict[str, bytes]:
        if "key_value" not in self._tables:
            return {}
        return {
            shown(key).removeprefix("settings."): shown(value).encode() for key, value in self._file.rows(_SETTINGS)
        }

    def steps(self) -> Iterator[Step]:
        pages = self._file.pages(_EVENTS) if "events" in self._tables else iter(())
        return event_steps(pages, self._ids, _read_page, _read_row)

    def close(self) -> None:
        self._file.close()


def _read_page(page: list[Row], texts: PayloadTexts) -> tuple[list[NewEvent], list[bool]]:
    _, _, starts_ns, ends_ns, data = zip(*page, strict=True)
    # An array takes integers only, and all that it takes lie within the years that can be shown.
    start_ns, end_ns = (np.frombuffer(array("q", times), np.int64) for times in (starts_ns, ends_ns))
    if (np.abs(start_ns >> 1) > _NEAR_NS).any() or (np.abs(end_ns >> 1) > _NEAR_NS).any():
        raise ValueError("their difference may be beyond 64 bits")
    duration_us = np.maximum((end_ns - start_ns + 500) // 1000, 0)
    events = list(map(NewEvent, (start_ns // 1000).tolist(), duration_us.tolist(), texts.payloads(data)))
    return events, (end_ns < start_ns).tolist()


def _read_row(row: Row, texts: PayloadTexts) -> tuple[NewEvent, bool]:
    _, _, start_ns, end_ns, data = row
    return _event(start_ns, end_ns, data, texts), end_ns < start_ns


def _event(start_ns: object, end_ns: object, data: object, texts: PayloadTexts) -> NewEvent:
    """As the same event would come over the wire: its start cut, its duration rounded to the microsecond."""
    if type(start_ns) is not int or type(end_ns) is not int:
        raise BadRequest("A time that is no integer")
    start_us, duration_us = start_ns // 1000, max(0, (end_ns - start_ns + 500) // 1000)
    if start_us < TIME_MIN_US or start_us + duration_us > TIME_MAX_US:
        raise BadRequest("The event lies outside the years 1 to 9999")
    if not isinstance(data, bytes):
        raise BadRequest("`data` must be a JSON object")
    if data.startswith(_ZSTD_MAGIC):
        raise BadRequest("`data` is compressed: let that server export it as JSON, and import the file")
    return NewEvent(Micros(start_us), Micros(duration_us), texts.payload(data))


def _bucket(row: tuple[Any, ...]) -> SourceBucket:
    _, bucket_id, kind, client, hostname, created, data = row
    try:
        created_us = parse_timestamp(shown(created))
    except BadRequest:
        created_us = None
    return SourceBucket(
        shown(bucket_id), shown(kind), shown(client), shown(hostname), created_us, None, bucket_data(data)
    )
