"""Which records to seal, and events -> runs that are ready to be segments. Pure; the engine chooses when and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from awlog.log.columns import Columns, columns_of, columns_of_new
from awlog.log.head import Head
from awlog.log.segment import SEAL_ABOVE_EVENTS, SEGMENT_EVENTS, ZSTD_LEVEL, ZSTD_LEVEL_SOON, encode_segment
from awlog.log.segment_index import entry_of
from awlog.model.commands import NewEvent, SealedBeforehand
from awlog.model.event import Event, Seq
from awlog.model.facts import SealedRun


def records_to_seal(head: Head) -> list[Event]:
    """The oldest records by seq, one segment of them, once the head holds more than two segments' worth; else none."""
    return head.oldest(SEGMENT_EVENTS) if len(head) > SEAL_ABOVE_EVENTS else []


def seal(events: Sequence[Event]) -> SealedRun:
    """Events in the order of their seqs as one segment. About 4 ms for a full one."""
    return _run(columns_of(events), ZSTD_LEVEL)


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
    nearly equal length, so that none of them is left to be written, and sealed later, one by one. About 0.3 µs an event.
    """
    columns = columns_of_new(events, Seq(1))
    youngest = len(events) - 1 - int(columns.start_us[::-1].argmax())
    others = np.delete(np.arange(len(events)), youngest)
    run_count = round(len(others) / SEGMENT_EVENTS)
    if not run_count:
        return [*columns.take(others).events(), columns.event(youngest)], []
    parts = (columns.take(rows).compacted() for rows in np.array_split(others, run_count))
    return [columns.event(youngest)], [_run(part, ZSTD_LEVEL_SOON) for part in parts]


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
