"""Events as a CSV file with a line of names; a mapping says which column is what.

    timestamp      ISO 8601
    duration, end  seconds, or the time at which the event ended; one of them, or neither for 0
    bucket         the bucket of each event
    data           all of `data`, as a JSON object
    data.KEY       one key of `data`: the text as it is, no key for an empty field; `COLUMN:json` is read as JSON

Without a mapping the columns are taken by these names, as `awlog export` writes them.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.numbers import decimal
from awlog.model.times import duration_from_seconds, parse_timestamp
from awlog.sources.json_stream import VALUE_BYTES_MAX
from awlog.sources.source import STEP_BYTES, Found, NamedByEvents, PayloadTexts, SourceBucket, SourceUnreadable, Step

_STEP_ROWS: Final = 4096
_FIXED: Final = ("timestamp", "duration", "end", "bucket", "data")
_JSON_MARK: Final = ":json"
_SECOND_US: Final = 1_000_000


class _Field(Struct, frozen=True):
    key: str
    place: int
    is_json: bool


class _Columns(Struct):
    """The places of the columns in a row."""

    timestamp: int
    duration: int | None = None
    end: int | None = None
    bucket: int | None = None
    data: int | None = None
    fields: list[_Field] = []


class Table(NamedByEvents):
    """A `Source`. `mapping` says of each column what it is, as above; empty: the names say it."""

    def __init__(self, path: Path, described: SourceBucket, mapping: dict[str, str]) -> None:
        super().__init__(described)
        self.title = f"CSV, {path}"
        self._path = path
        csv.field_size_limit(VALUE_BYTES_MAX)
        try:
            self._bytes = path.open("rb")
            self._file = io.TextIOWrapper(self._bytes, encoding="utf-8-sig", errors="surrogateescape", newline="")
            self.size = path.stat().st_size
            self._rows = csv.reader(self._file, strict=True)
            names = next(self._rows, [])
        except (OSError, csv.Error) as error:
            raise SourceUnreadable(f"{path} cannot be read: {error}") from None
        if not _is_utf8(names):
            raise SourceUnreadable(f"{path} is not UTF-8: save it as that, so that its texts stay what they are")
        self._columns = _columns(names, mapping or {name: name for name in names if _is_target(name)})

    def steps(self) -> Iterator[Step]:
        texts = PayloadTexts()
        step, told_bytes = Step({}, 0), 0
        try:
            for number, row in enumerate(self._rows, start=1):
                if row:
                    self._take(row, texts, step)
                read_bytes = self._bytes.tell()
                if number % _STEP_ROWS == 0 or read_bytes - told_bytes >= STEP_BYTES:
                    step.read, told_bytes = read_bytes - told_bytes, read_bytes
                    yield step
                    step = Step({}, 0)
        except csv.Error as error:
            raise SourceUnreadable(f"{self._path}, line {self._rows.line_num}: {error}") from None
        step.read = self.size - told_bytes
        yield step

    def _take(self, row: list[str], texts: PayloadTexts, step: Step) -> None:
        columns, bucket_id = self._columns, self._described.id
        try:
            if not _is_utf8(row):
                raise BadRequest("A row that is not UTF-8")
            try:
                if columns.bucket is not None:
                    bucket_id = row[columns.bucket] or bucket_id
                event, is_negative = _event(row, columns, texts)
            except IndexError:
                raise BadRequest("A row that is shorter than the line of names") from None
            found = step.found.setdefault(bucket_id, Found())
            found.events.append(event)
            found.negative_count += is_negative
        except BadRequest as refusal:
            step.found.setdefault(bucket_id, Found()).refuse(str(refusal))

    def close(self) -> None:
        self._file.close()


def _is_utf8(row: list[str]) -> bool:
    """Bytes that are not UTF-8 were read as half surrogate pairs."""
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_target(name: str) -> bool:
    return name in _FIXED or name.startswith("data.")


def _columns(names: list[str], mapping: dict[str, str]) -> _Columns:
    """Raises SourceUnreadable for a mapping that names no column, or no time."""
    places: dict[str, int] = {}
    fields: list[_Field] = []
    for target, column in mapping.items():
        is_json = target.startswith("data.") and column not in names and column.endswith(_JSON_MARK)
        name = column.removesuffix(_JSON_MARK) if is_json else column
        if not _is_target(target):
            raise SourceUnreadable(
                f"Nothing of an event is called {target!r}: there are {', '.join(_FIXED)} and data.KEY"
            )
        if name not in names:
            raise SourceUnreadable(f"There is no column {name!r}; there are {', '.join(names[:40])}")
        if names.count(name) > 1:
            raise SourceUnreadable(f"There are {names.count(name)} columns {name!r}: give each a name of its own")
        if target.startswith("data."):
            fields.append(_Field(target.removeprefix("data."), names.index(name), is_json))
        else:
            places[target] = names.index(name)
    if "timestamp" not in places:
        raise SourceUnreadable("No column is the timestamp: name it with --map timestamp=COLUMN")
    if "data" in places and fields:
        raise SourceUnreadable("`data` is one column or several, not both")
    return _Columns(**places, fields=fields)


def _event(row: list[str], columns: _Columns, texts: PayloadTexts) -> tuple[NewEvent, bool]:
    """The event, and whether it ends before it begins. Raises BadRequest, IndexError."""
    start_us = parse_timestamp(row[columns.timestamp].strip())
    seconds = 0.0
    if columns.duration is not None and row[columns.duration]:
        seconds = _number(row[columns.duration])
    elif columns.end is not None and row[columns.end]:
        seconds = (parse_timestamp(row[columns.end].strip()) - start_us) / _SECOND_US
    if columns.data is not None:
        data = row[columns.data] or "{}"
    else:
        data = json.dumps({field.key: _value(field, row) for field in columns.fields if row[field.place]})
    payload = texts.payload(data.encode())
    return NewEvent(start_us, duration_from_seconds(seconds, start_us), payload), seconds < 0


def _number(text: str) -> float:
    seconds = decimal(text.strip())
    if seconds is None or math.isinf(seconds):
        raise BadRequest("A duration that is no number of seconds")
    return seconds


def _value(field: _Field, row: list[str]) -> Any:
    text = row[field.place]
    if not field.is_json:
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        raise BadRequest(f"The field data.{field.key} is no JSON") from None
