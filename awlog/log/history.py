"""Reads over a whole bucket: its tail record, its head and its segments as one sequence. Pure; segments come by `load`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from awlog.log.columns import Columns, columns_of, merge_newest_first
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, LoadSegment
from awlog.model.event import Event
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros


def events_newest_first(
    bucket: BucketState, start_us: Micros, end_us: Micros, count_max: int | None, load: LoadSegment
) -> Iterator[Columns]:
    """The events that meet [start_us, end_us], uncut, by descending start and ascending seq; at most `count_max`.

    Lazy, in chunks: what is needed of the state is taken before this returns, and a segment is loaded when its turn has
    come, so memory holds no more than the segments that overlap in time. About 1 ms a segment.
    """
    if count_max == 0 or start_us > end_us:
        return iter(())
    parts: list[tuple[int, Callable[[], Columns]]] = []
    recent = list(islice(_recent_newest_first(bucket, start_us, end_us), count_max))
    if recent:
        parts.append((recent[0].start_us, lambda: columns_of(recent)))
    parts.extend(
        (entry.max_start_us, _loader(bucket, entry, start_us, end_us, load))
        for entry in bucket.index.meeting(start_us, end_us)
    )
    parts.sort(key=lambda part: part[0], reverse=True)
    merged = merge_newest_first(parts)
    return merged if count_max is None else _first(merged, count_max)


def _first(chunks: Iterator[Columns], count_max: int) -> Iterator[Columns]:
    left = count_max
    for columns in chunks:
        yield columns.take(slice(left)) if len(columns) > left else columns
        left -= len(columns)
        if left <= 0:
            return


def _loader(
    bucket: BucketState, entry: SegmentEntry, start_us: Micros, end_us: Micros, load: LoadSegment
) -> Callable[[], Columns]:
    number = bucket.number
    return lambda: load(number, entry).meeting(start_us, end_us)


def _recent_newest_first(bucket: BucketState, start_us: Micros, end_us: Micros) -> Iterator[Event]:
    """The tail record and the head. The tail record is younger than all of the head, but may share its start."""
    tail = bucket.tail
    if tail is not None and not (tail.start_us <= end_us and tail.end_us >= start_us):
        tail = None
    for event in bucket.head.newest_first(start_us, end_us):
        if tail is not None and event.start_us < tail.start_us:
            yield tail
            tail = None
        yield event
    if tail is not None:
        yield tail


def count_events(bucket: BucketState, start_us: Micros, end_us: Micros, load: LoadSegment) -> int:
    """How many events meet [start_us, end_us]. Segments that lie inside are counted without being loaded."""
    if start_us > end_us:
        return 0
    count = 0
    if start_us <= TIME_MIN_US and end_us >= TIME_MAX_US:
        return bucket.event_count()
    count += sum(1 for _ in _recent_newest_first(bucket, start_us, end_us))
    for entry in bucket.index.meeting(start_us, end_us):
        if entry.min_start_us >= start_us and entry.max_start_us <= end_us:
            count += entry.count
        else:
            count += len(load(bucket.number, entry).meeting(start_us, end_us))
    return count
