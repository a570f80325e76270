"""The database of ActivityWatch's Python server, `peewee-sqlite.v2.db`, and its settings, which are a file.

bucketmodel  key, id, created, name, type, client, hostname, datastr (missing in old files)
eventmodel   id, bucket_id (a bucket's key), timestamp (ISO 8601 text), duration (seconds), datastr (JSON)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.times import Micros, duration_from_seconds, parse_timestamp
from awlog.sources.source import Found, PayloadTexts, SourceBucket, SourceUnreadable, Step, bucket_data, shown
from awlog.sources.sqlite_file import SqliteFile

_EVENTS: Final = "SELECT id, bucket_id, timestamp, duration, datastr FROM eventmodel WHERE id > ? ORDER BY id LIMIT ?"
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
        self._buckets = {row[0]: _bucket(row) for row in found}
        self._by_id = {bucket.id: bucket for bucket in self._buckets.values()}
        self.size = file.one("SELECT coalesce(max(id), 0) FROM eventmodel")

    @staticmethod
    def wrote(tables: dict[str, set[str]]) -> bool:
        return {"bucketmodel", "eventmodel"} <= tables.keys()

    def buckets(self) -> list[SourceBucket]:
        return list(self._buckets.values())

    def bucket(self, bucket_id: str) -> SourceBucket:
        return self._by_id[bucket_id]

    def settings(self) -> dict[str, bytes]:
        if self._settings_path is None or not self._settings_path.exists():
            return {}
        try:
            decoded = _SETTINGS.decode(self._settings_path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise SourceUnreadable(f"{self._settings_path} cannot be read: {error}") from None
        return {key: bytes(value) for key, value in decoded.items()}

    def steps(self) -> Iterator[Step]:
        texts = PayloadTexts()
        read = 0
        for page in self._file.pages(_EVENTS):
            step = Step({}, page[-1][0] - read)
            read = page[-1][0]
            for _, key, timestamp, duration, data in page:
                bucket = self._buckets.get(key)
                if bucket is None:
                    step.orphan_count += 1
                    continue
                found = step.found.get(bucket.id)
                if found is None:
                    found = step.found[bucket.id] = Found()
                try:
                    start_us = _start_us(timestamp)
                    seconds = _seconds(duration)
                    found.events.append(
                        NewEvent(start_us, duration_from_seconds(seconds, start_us), texts.payload(data))
                    )
                    found.negative_count += seconds < 0
                except BadRequest as refusal:
                    found.refuse(str(refusal))
            yield step

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


def _start_us(timestamp: bytes) -> Micros:
    """Raises BadRequest. 1 µs; the fast way of `parse_timestamp` wants a T."""
    if not isinstance(timestamp, bytes):
        raise BadRequest("A timestamp that is no text")
    try:
        text = timestamp.decode("ascii")
    except UnicodeDecodeError:
        raise BadRequest("Not a timestamp") from None
    return parse_timestamp(f"{text[:10]}T{text[11:]}" if text[10:11] == " " else text)


def _seconds(duration: object) -> float:
    """A decimal field: SQLite keeps it as a number, or as a text if it cannot be one. Raises BadRequest."""
    if type(duration) is float or type(duration) is int:
        return duration
    try:
        return float(duration.decode() if isinstance(duration, bytes) else "")
    except ValueError:
        raise BadRequest("A duration that is no number") from None
