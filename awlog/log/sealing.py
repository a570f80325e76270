"""Which records to seal, and events -> runs that are ready to be segments. Pure; the engine chooses when and where."""

from __future__ import annotations

from collections.abc import Sequence

from awlog.log.columns import columns_of
from awlog.log.head import Head
from awlog.log.segment import SEAL_ABOVE_EVENTS, SEGMENT_EVENTS, encode_segment
from awlog.model.commands import NewEvent
from awlog.model.event import Change, Event, Seq
from awlog.model.facts import SealedRun
from awlog.model.times import Micros


def records_to_seal(head: Head) -> list[Event]:
    """The oldest records by seq, one segment of them, once the head holds more than two segments' worth; else none."""
    return head.oldest(SEGMENT_EVENTS) if len(head) > SEAL_ABOVE_EVENTS else []


def seal(events: Sequence[Event]) -> SealedRun:
    """Events in the order of their seqs as one segment. About 10 ms for a full one."""
    columns = columns_of(events)
    first_seq = events[0].seq
    return SealedRun(
        first_seq=first_seq,
        last_seq=events[-1].seq,
        count=len(events),
        min_start_us=Micros(int(columns.start_us.min())),
        max_start_us=Micros(int(columns.start_us.max())),
        max_end_us=Micros(int(columns.end_us.max())),
        min_change=Change(int(columns.change.min())),
        max_change=Change(int(columns.change.max())),
        segment=encode_segment(columns, first_seq),
    )


def seal_new(events: Sequence[NewEvent]) -> tuple[list[Event], list[SealedRun]]:
    """New events -> (records, runs) with seqs from 1 on, to be moved to the bucket's next seq by `moved`; so are their
    changes, which `apply` moves.

    The youngest event stays a record: it may become the tail record, which is never in a segment. So do the last ones
    that do not fill a segment. About 4 µs an event.
    """
    numbered = [Event(Seq(i), e.start_us, e.duration_us, e.payload, Change(i)) for i, e in enumerate(events, start=1)]
    youngest = max(numbered, key=lambda event: (event.start_us, event.seq))
    others = [event for event in numbered if event is not youngest]
    full = len(others) // SEGMENT_EVENTS * SEGMENT_EVENTS
    runs = [seal(others[at : at + SEGMENT_EVENTS]) for at in range(0, full, SEGMENT_EVENTS)]
    return [*others[full:], youngest], runs


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
