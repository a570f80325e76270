"""Reads over a whole bucket: its tail record, its head and its segments as one sequence. Pure; segments come by `load`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import islice

from awlog.log.columns import Columns, columns_of, joined, merge_newest_first
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, LoadSegment
from awlog.model.event import Event, Seq
from awlog.model.page import Page
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
    recent = list(islice(recent_newest_first(bucket, start_us, end_us), count_max))
    if recent:
        parts.append((recent[0].start_us, lambda: columns_of(recent)))
    index = bucket.index
    met = index.meeting(start_us, end_us) if count_max is None else index.newest_meeting(start_us, end_us, count_max)
    parts.extend((entry.max_start_us, _loader(bucket, entry, start_us, end_us, load)) for entry in met)
    parts.sort(key=lambda part: part[0], reverse=True)
    merged = merge_newest_first(parts)
    return merged if count_max is None else _first(merged, count_max)


def first_page(bucket: BucketState, start_us: Micros, end_us: Micros) -> Page:
    """The page before which there is nothing."""
    return Page(start_us, end_us, bucket.next_seq, Micros(end_us + 1), Seq(0))


def page_newest_first(
    bucket: BucketState, page: Page, count_max: int, load: LoadSegment
) -> tuple[Columns, Page | None]:
    """At most `count_max` events of the page, uncut, and the page that follows; None behind the last event.

    Loads the segments that they are in.
    """
    parts: list[Columns] = []
    wanted = count_max + 1  # one more tells whether there is a next page
    end_us = Micros(min(page.end_us, page.after_start_us))
    for columns in events_newest_first(bucket, page.start_us, end_us, None, load):
        start, seq = columns.start_us, columns.seq
        behind = (start < page.after_start_us) | ((start == page.after_start_us) & (seq > page.after_seq))
        part = columns.take(behind & (seq < page.seq_below)).take(slice(wanted))
        parts.append(part)
        wanted -= len(part)
        if not wanted:
            break
    found = joined(parts)
    if len(found) <= count_max:
        return found, None
    found = found.take(slice(count_max))
    last_start_us, last_seq = Micros(int(found.start_us[-1])), Seq(int(found.seq[-1]))
    return found, Page(page.start_us, page.end_us, page.seq_below, last_start_us, last_seq)


def fingerprint(bucket: BucketState, start_us: Micros, end_us: Micros) -> bytes | None:
    """Another one when the range may hold other events; None if it is not closed: it reaches the tail record.

    O(segments and records that meet the range); loads nothing.
    """
    if bucket.tail is None or end_us >= bucket.tail.start_us:
        return None
    digest = blake2b(digest_size=16)
    digest.update(b"%d %d %d" % (bucket.number, start_us, end_us))
    for entry in bucket.index.meeting(start_us, end_us):
        digest.update(b"\n%d %d %d" % (entry.first_seq, entry.revision, entry.count))
    # What is among the records now and was not has a greater change number than all that were; what is gone is missed.
    count, newest = 0, 0
    for event in bucket.head.newest_first(start_us, end_us):
        count += 1
        if event.change > newest:
            newest = event.change
    digest.update(b"\n%d %d" % (count, newest))
    return digest.digest()


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


def recent_newest_first(bucket: BucketState, start_us: Micros, end_us: Micros) -> Iterator[Event]:
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
    count += sum(1 for _ in recent_newest_first(bucket, start_us, end_us))
    for entry in bucket.index.meeting(start_us, end_us):
        if entry.min_start_us >= start_us and entry.max_start_us <= end_us:
            count += entry.count
        else:
            count += len(load(bucket.number, entry).meeting(start_us, end_us))
    return count
