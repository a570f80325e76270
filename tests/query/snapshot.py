"""A store in memory for tests of queries, and short words to run a program on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from awlog.log.columns import Columns, columns_of
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Event, Seq
from awlog.model.payload import canonical_object
from awlog.model.times import Micros, parse_timestamp
from awlog.query.budget import Limits
from awlog.query.program import parse, parse_period, run
from tests.log.events import in_reading_order, meeting

DAY = "2024-05-01T00:00:00+00:00/2024-05-02T00:00:00+00:00"
TEN_US = parse_timestamp("2024-05-01T10:00:00Z")


class Snapshot:
    """Buckets by id, in the order given, oldest first; numbers from 1. A bucket is events, or (meta fields, events)."""

    def __init__(self, buckets: Mapping[str, Sequence[Event]], hostnames: Mapping[str, str] | None = None) -> None:
        self._events = {BucketNumber(n): list(events) for n, events in enumerate(buckets.values(), start=1)}
        hosts = hostnames or {}
        self._buckets = [
            BucketMeta(BucketNumber(n), bucket_id, "test", "tests", hosts.get(bucket_id, "desk"), Micros(n))
            for n, bucket_id in enumerate(buckets, start=1)
        ]
        self.reads: list[tuple[str, int, int]] = []  # what was asked for

    def buckets(self) -> list[BucketMeta]:
        return self._buckets

    def events(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> Columns:
        assert start_us <= end_us, "an empty range is not asked for"
        self.reads.append((self._buckets[bucket_number - 1].id, start_us, end_us))
        return columns_of(in_reading_order(meeting(self._events[bucket_number], start_us, end_us)))

    def count(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> int:
        return len(self.events(bucket_number, start_us, end_us))


def stored(seq: int, start_s: float, duration_s: float, data: dict[str, Any]) -> Event:
    """An event that starts so many seconds after ten o'clock of the day."""
    return Event(
        Seq(seq),
        Micros(TEN_US + round(start_s * 1_000_000)),
        Micros(round(duration_s * 1_000_000)),
        canonical_object(msgspec.json.encode(data)),
    )


def answers(
    text: str,
    snapshot: Snapshot | None = None,
    *periods: str,
    name: str = "",
    limits: Limits | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Any]:
    """What a client parses, one result for each period; strict JSON."""
    limits = limits or Limits()
    program = parse(text.split("\n"), limits)
    rendered = run(
        program,
        [parse_period(period) for period in periods or (DAY,)],
        snapshot or Snapshot({}),
        name=name,
        limits=limits,
        check=check,
    )
    return [json.loads(answer, parse_constant=pytest.fail) for answer in rendered]


def answer(text: str, snapshot: Snapshot | None = None, **options: Any) -> Any:
    """The result for the day."""
    (only,) = answers(text, snapshot, **options)
    return only


def value(expression: str, snapshot: Snapshot | None = None) -> Any:
    return answer(f"RETURN = {expression};", snapshot)
