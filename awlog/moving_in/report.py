"""What an import did, bucket by bucket, and whether the store holds now what the source gave."""

from __future__ import annotations

from collections import Counter

import numpy as np
from msgspec import Struct, field

from awlog.log.columns import Columns
from awlog.model.commands import NewEvent


class Totals(Struct):
    """Of some events: how many, the least start, the greatest end, the sum of the durations."""

    count: int = 0
    first_us: int | None = None
    last_us: int | None = None
    duration_us: int = 0

    def add(self, events: list[NewEvent]) -> None:
        if events:
            ends = [event.start_us + event.duration_us for event in events]
            spans = sum(event.duration_us for event in events)
            self._add(len(events), min(event.start_us for event in events), max(ends), spans)

    def add_columns(self, columns: Columns) -> None:
        if len(columns):
            spans = int(np.sum(columns.duration_us))
            self._add(len(columns), int(columns.start_us.min()), int(columns.end_us.max()), spans)

    def _add(self, count: int, first_us: int, last_us: int, duration_us: int) -> None:
        self.count += count
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)
        self.last_us = last_us if self.last_us is None else max(self.last_us, last_us)
        self.duration_us += duration_us


class BucketReport(Struct):
    """`source` are the events that the source gave and that can be stored, without those that a privacy filter
    dropped; `stored` is what the store says of them
    afterwards, None if it was not asked.
    """

    bucket_id: str
    made: bool = False
    source: Totals = field(default_factory=Totals)
    imported_count: int = 0
    identical_count: int = 0
    grown_count: int = 0
    longer_us: int = 0
    negative_count: int = 0
    dropped_count: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    stored: Totals | None = None

    @property
    def source_count(self) -> int:
        return self.source.count + self.refused.total() + self.dropped_count

    def matches(self, *, growing: bool) -> bool:
        """Is all of the source in the store? `growing`: a server is recording, which may make the newest event longer."""
        if self.source.count != self.imported_count + self.identical_count + self.grown_count:
            return False
        if self.stored is None:
            return True
        stored = self.stored
        ends_as_told = stored.last_us == self.source.last_us
        span_us = stored.duration_us - self.longer_us
        if growing or self.longer_us:
            ends_as_told = (stored.last_us or 0) >= (self.source.last_us or 0)
        lasts_as_told = span_us >= self.source.duration_us if growing else span_us == self.source.duration_us
        return (
            stored.count == self.source.count
            and stored.first_us == self.source.first_us
            and ends_as_told
            and lasts_as_told
        )


class Report(Struct):
    """Settings by key: `imported`, `identical`, `refused`, or `kept`: the store has another value, which stays."""

    buckets: list[BucketReport] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    orphan_count: int = 0
    growing: bool = False

    def matches(self) -> bool:
        return all(bucket.matches(growing=self.growing) for bucket in self.buckets)

    def refused_count(self) -> int:
        return sum(bucket.refused.total() for bucket in self.buckets)
