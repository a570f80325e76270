"""Which records to seal, and events -> runs that are ready to be segments. Pure; the engine chooses when and where."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import numpy as np

from awlog.log.columns import Columns, columns_of, columns_of_new
from awlog.log.head import Head
from awlog.log.segment import (
    EVENT_BYTES,
    SEAL_ABOVE_EVENTS,
    SEGMENT_EVENTS,
    ZSTD_LEVEL,
    ZSTD_LEVEL_SOON,
    decode_segment,
    encode_segment,
)
from awlog.log.segment_index import SegmentEntry, SegmentIndex, describes, entry_of
from awlog.model.commands import NewEvent, SealedBeforehand
from awlog.model.errors import DataDamaged
from awlog.model.event import Event, Seq
from awlog.model.facts import SealedRun


def weight(events: Iterable[Event]) -> int:
    """How much of a segment they fill: one is full at SEGMENT_EVENTS * EVENT_BYTES. 0.1 µs an event."""
    return sum([max(EVENT_BYTES, len(event.payload)) for event in events])


def wants_sealing(head: Head) -> bool:
    """Does it hold more than two segments' worth, in records or in bytes? O(1)."""
    return len(head) > SEAL_ABOVE_EVENTS or head.size_bytes > SEAL_ABOVE_EVENTS * EVENT_BYTES


def records_to_seal(head: Head) -> list[Event]:
    """The oldest records by seq, one segment of them, once the head holds more than two segments' worth; else none."""
    return oldest_records(head) if wants_sealing(head) else []


def oldest_records(head: Head) -> list[Event]:
    """Those with the least seqs, at most one segment of them."""
    oldest = head.oldest(SEGMENT_EVENTS)
    filled = np.cumsum([max(EVENT_BYTES, len(event.payload)) for event in oldest])
    return oldest[: max(1, int(filled.searchsorted(SEGMENT_EVENTS * EVENT_BYTES, "right")))]


def small_segments(record_count: int, index: SegmentIndex) -> list[SegmentEntry]:
    """The last segments, each no larger than all that it is put together with, as long as that makes one segment.

    So a few records are sealed without leaving a segment of a few events for ever: a bucket has log2(4096) small ones at
    most, and each event is encoded anew as often. O(segments), 20 ns each.
    """
    small: list[SegmentEntry] = []
    count = record_count
    for entry in index.by_descending_seq():
        if entry.count > count or count + entry.count > SEGMENT_EVENTS:
            break
        small.append(entry)
        count += entry.count
    return small


def seal(events: Sequence[Event], level: int = ZSTD_LEVEL) -> SealedRun:
    """Events in the order of their seqs as one segment. About 4 ms for a full one."""
    return _run(columns_of(events), level)


def seal_together(
    records: Sequence[Event], small: Sequence[tuple[SegmentEntry, bytes]], level: int
) -> tuple[SealedRun, list[Seq]]:
    """As `seal`, with the events of small segments; which of them, as long payloads, or damage, may leave some out."""
    events, merged = list(records), []
    room = SEGMENT_EVENTS * EVENT_BYTES - weight(records)
    for entry, sealed in small:
        try:
            columns = decode_segment(sealed, entry.first_seq, entry.min_change, "A small segment")
        except DataDamaged:
            break  # whoever reads it is told
        lengths = [max(EVENT_BYTES, len(payload)) for payload in columns.payloads]
        room -= sum(map(operator.mul, lengths, columns.payload_counts()))
        if room < 0 or not describes(entry, columns):
            break
        events += columns.events()
        merged.append(entry.first_seq)
    events.sort(key=lambda event: event.seq)
    return seal(events, level), merged


def _run(columns: Columns, level: int) -> SealedRun:
    entry = entry_of(columns, revision=0)
    return SealedRun(
        entry.first_seq,
        entry.last_seq,
        entry.count,
        entry.min_start_us,
        entry.max_start_us,
        entry.max_end_us,
        entry.min_change,
        entry.max_change,
        encode_segment(columns, entry.first_seq, level=level),
    )


def seal_new(events: Sequence[NewEvent]) -> SealedBeforehand:
    """New events -> (records, runs) with seqs from 1 on, to be moved to the bucket's next seq by `moved`; so are their
    changes, which `apply` moves.

    The youngest event stays a record: it may become the tail record, which is never in a segment. The others are runs of
    nearly equal weight, so that none of them is left to be written, and sealed later, one by one. About 0.3 µs an event.
    """
    columns = columns_of_new(events, Seq(1))
    youngest = len(events) - 1 - int(columns.start_us[::-1].argmax())
    others = np.delete(np.arange(len(events)), youngest)
    lengths = np.maximum(EVENT_BYTES, np.fromiter(map(len, columns.payloads), np.int64, len(columns.payloads)))
    filled = np.cumsum(lengths[columns.payload_code[others]])
    run_count = round(int(filled[-1]) / (SEGMENT_EVENTS * EVENT_BYTES)) if len(others) else 0
    if not run_count:
        return [*columns.take(others).events(), columns.event(youngest)], []
    shares = -(-filled[-1] * np.arange(1, run_count) // run_count)
    parts = np.split(others, filled.searchsorted(shares) + 1)
    return [columns.event(youngest)], [
        _run(columns.take(rows).compacted(), ZSTD_LEVEL_SOON) for rows in parts if len(rows)
    ]


def sealed_if_new(events: Sequence[NewEvent]) -> SealedBeforehand | None:
    """As `seal_new`; None if some may replace stored events: then nobody knows what is new."""
    return None if any(event.wire_id is not None for event in events) else seal_new(events)


def moved(records: list[Event], runs: list[SealedRun], next_seq: Seq) -> tuple[list[Event], list[SealedRun]]:
    """What `seal_new` gave, with seqs from `next_seq` on. The bytes of a segment do not depend on it."""
    by = next_seq - 1
    return (
        [Event(Seq(e.seq + by), e.start_us, e.duration_us, e.payload, e.change) for e in records],
        [
            SealedRun(
                Seq(run.first_seq + by),
                Seq(run.last_seq + by),
                run.count,
                run.min_start_us,
                run.max_start_us,
                run.max_end_us,
                run.min_change,
                run.max_change,
                run.segment,
            )
            for run in runs
        ],
    )
