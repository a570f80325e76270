"""An export as a JSON file, `{"buckets": {id: bucket with events}}`: of awlog, and of ActivityWatch's servers.

Some servers write the fields of a bucket behind its events, so the file is read twice: first for the buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from awlog.model.errors import BadRequest
from awlog.model.times import parse_timestamp
from awlog.sources.event_text import take_events
from awlog.sources.json_stream import JsonReader
from awlog.sources.source import STEP_BYTES, Found, PayloadTexts, SourceBucket, SourceUnreadable, Step, bucket_data

_STEP_EVENTS: Final = 4096


class _BucketBody(Struct):
    type: str
    client: str
    hostname: str
    id: str | None = None
    name: str | None = None
    created: str | None = None
    data: Raw = Raw(b"null")


_BUCKET: Final = msgspec.json.Decoder(_BucketBody)


class JsonExport:
    """A `Source`."""

    def __init__(self, path: Path) -> None:
        self.title = f"an export, {path}"
        self._path = path
        try:
            self._file = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from None
        self._buckets: dict[str, SourceBucket] = {}
        try:
            reader = self._from_begin()
            for key in bucket_keys(reader):
                self._buckets[key] = read_bucket(reader, key)
            reader.expect_end()
        except SourceUnreadable as error:
            self._file.close()
            raise self._unreadable(error) from None

    def buckets(self) -> list[SourceBucket]:
        return list(self._buckets.values())

    def bucket(self, bucket_id: str) -> SourceBucket:
        return next(bucket for bucket in self._buckets.values() if bucket.id == bucket_id)

    def settings(self) -> dict[str, bytes]:
        """An export has none."""
        return {}

    def steps(self) -> Iterator[Step]:
        texts = PayloadTexts()
        told_bytes = 0
        try:
            reader = self._from_begin()
            for key in bucket_keys(reader):
                for found in read_events(reader, texts):
                    yield Step({self._buckets[key].id: found}, reader.passed_bytes - told_bytes)
                    told_bytes = reader.passed_bytes
        except SourceUnreadable as error:
            raise self._unreadable(error) from None
        yield Step({}, self.size - told_bytes)

    def close(self) -> None:
        self._file.close()

    def _from_begin(self) -> JsonReader:
        self._file.seek(0)
        return JsonReader(self._file)

    def _unreadable(self, error: SourceUnreadable) -> SourceUnreadable:
        return SourceUnreadable(f"{self._path} cannot be read as an export: {error}")


def bucket_keys(reader: JsonReader) -> Iterator[str]:
    """The buckets of an export. The reader stands before one when its key is given, and must have passed it for the next."""
    for name in reader.members():
        if name == "buckets":
            yield from reader.members()
        else:
            reader.skip()


def read_bucket(reader: JsonReader, key: str) -> SourceBucket:
    """What the bucket says of itself, its events passed over."""
    fields: dict[str, Raw] = {}
    for name in reader.members():
        if name in _BucketBody.__struct_fields__:
            fields[name] = Raw(reader.value())
        else:
            reader.skip()
    try:
        body = _BUCKET.decode(msgspec.json.encode(fields))
        created_us = None if body.created is None else parse_timestamp(body.created)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadRequest) as error:
        raise SourceUnreadable(f"the bucket {key!r}: {error}") from None
    bucket_id = key if body.id is None else body.id
    return SourceBucket(
        bucket_id, body.type, body.client, body.hostname, created_us, body.name, bucket_data(bytes(body.data))
    )


def read_events(reader: JsonReader, texts: PayloadTexts) -> Iterator[Found]:
    """The events of the bucket that the reader stands before, some thousands at a time."""
    for name in reader.members():
        if name != "events" or not reader.is_list():
            reader.skip()
            continue
        for written in _in_steps(reader.elements()):
            found = Found()
            take_events(written, texts, found)
            yield found


def _in_steps(elements: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Some of them at a time: not too many, and not too long."""
    step: list[bytes] = []
    held_bytes = 0
    for element in elements:
        step.append(element)
        held_bytes += len(element)
        if len(step) >= _STEP_EVENTS or held_bytes >= STEP_BYTES:
            yield step
            step, held_bytes = [], 0
    if step:
        yield step
