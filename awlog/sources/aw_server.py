"""The database of ActivityWatch's Python server, `peewee-sqlite.v2.db`, and its settings, which are a file.

bucketmodel  key, id, created, name, type, client, hostname, datastr (missing in old files)
eventmodel   id, bucket_id (a bucket's key), timestamp (ISO 8601 text), duration (seconds), datastr (JSON)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from awlog.log.many_times import durations_of, instants_of
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.numbers import decimal
from awlog.model.times import Micros, duration_from_seconds, parse_timestamp
from awlog.sources.event_table import event_steps
from awlog.sources.source import PayloadTexts, SourceBucket, SourceUnreadable, Step, bucket_data, shown
from awlog.sources.sqlite_file import Row, SqliteFile

# A rowid is an integer and unlike all others, whatever was declared of the column `id`. The T is what the fast way to
# read many times wants.
_EVENTS: Final = (
    "SELECT rowid, bucket_id, replace(timestamp, ' ', 'T'), duration, datastr FROM eventmodel"
    " WHERE rowid > ? ORDER BY rowid LIMIT ?"
)
_SETTINGS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class AwServerDatabase:
    """A `Source`. The whole table is read once, in the order of its rows, whatever indexes there are."""

    def __init__(self, file: SqliteFile, settings_path: Path | None) -> None:
        self.title = f"ActivityWatch's Python server, {file.path}"
        self._file = file
        self._settings_path = settings_path
        has_data = "datastr" in file.tables()["bucketmodel"]
        found = file.rows(
            f"SELECT key, id, type, client, hostname, created, name, {'datastr' if has_data else 'NULL'} FROM bucketmodel"  # noqa: S608
        )
        buckets = [_bucket(row) for row in found]
        self._ids = {row[0]: bucket.id for row, bucket in zip(found, buckets, strict=True)}
        self._buckets = {bucket.id: bucket for bucket in buckets}
        self.size = file.one("SELECT coalesce(max(rowid), 0) FROM eventmodel")

    @staticmethod
    def wrote(tables: dict[str, set[str]]) -> bool:
        return {"bucketmodel", "eventmodel"} <= tables.keys()

    def buckets(self) -> list[SourceBucket]:
        return list(self._buckets.values())

    def bucket(self, bucket_id: str) -> SourceBucket:
        return self._buckets[bucket_id]

    def settings(self) -> dict[str, bytes]:
        if self._settings_path is None or not self._settings_path.exists():
            return {}
        try:
            decoded = _SETTINGS.decode(self._settings_path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise SourceUnreadable(f"{self._settings_path} cannot be read: {error}") from None
        return {key: bytes(value) for key, value in decoded.items()}

    def steps(self) -> Iterator[Step]:
        return event_steps(self._file.pages(_EVENTS), self._ids, _read_page, _read_row)

    def close(self) -> None:
        self._file.close()


def _bucket(row: tuple[Any, ...]) -> SourceBucket:
    _, bucket_id, kind, client, hostname, created, name, data = row
    try:
        created_us = _start_us(created)
    except BadRequest:
        created_us = None
    return SourceBucket(
        shown(bucket_id),
        shown(kind),
        shown(client),
        shown(hostname),
        created_us,
        name and shown(name),
        bucket_data(data),
    )


def _read_page(page: list[Row], texts: PayloadTexts) -> tuple[list[NewEvent], list[bool]]:
    _, _, timestamps, durations_s, data = zip(*page, strict=True)
    start_us = instants_of([timestamp.decode("ascii") for timestamp in timestamps])
    duration_us = durations_of(durations_s, start_us)
    events = list(map(NewEvent, start_us.tolist(), duration_us.tolist(), texts.payloads(data)))
    return events, [duration_s < 0 for duration_s in durations_s]


def _read_row(row: Row, texts: PayloadTexts) -> tuple[NewEvent, bool]:
    _, _, timestamp, duration, data = row
    start_us, seconds = _start_us(timestamp), _seconds(duration)
    return NewEvent(start_us, duration_from_seconds(seconds, start_us), texts.payload(data)), seconds < 0


def _start_us(timestamp: bytes) -> Micros:
    """Raises BadRequest."""
    if not isinstance(timestamp, bytes):
        raise BadRequest("A timestamp that is no text")
    try:
        return parse_timestamp(timestamp.decode("ascii"))
    except UnicodeDecodeError:
        raise BadRequest("Not a timestamp") from None


def _seconds(duration: object) -> float:
    """A decimal field: SQLite keeps it as a number, or as a text if it cannot be one. Raises BadRequest."""
    if type(duration) is float or type(duration) is int:
        return duration
    seconds = decimal(duration.decode(errors="replace").strip()) if isinstance(duration, bytes) else None
    if seconds is None:
        raise BadRequest("A duration that is no number")
    return seconds
