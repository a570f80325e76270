"""Where the events of a bucket live after an insertion, a replacement, a deletion, a sealing. Deterministic, as `apply` is.

An event lives in one place: it is the tail record, a record of the head, or in a segment. What changes is noted in the
write set; whoever keeps a copy of the bucket is told by its revision that what was there is no longer where or what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry, entry_of
from awlog.log.state import BucketState, LoadSegment
from awlog.log.write_set import SegmentWrite, TailRow, WriteSet
from awlog.model.edits import SeqRange
from awlog.model.event import Change, Event, Seq
from awlog.model.facts import EventsAppended, SealedRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From this many records on, building a head anew is cheaper than taking them out one by one.
_BULK_RECORDS = 256


def numbered(event: Event, change: int) -> Event:
    return Event(event.seq, event.start_us, event.duration_us, event.payload, Change(change))


def note_change(bucket: BucketState, writes: WriteSet) -> None:
    """Something that was there is no longer where or what it was: who keeps a copy of the bucket must read it anew."""
    bucket.next_revision += 1
    note_tail(bucket, writes)


def note_tail(bucket: BucketState, writes: WriteSet) -> None:
    writes.tails[bucket.number] = TailRow(bucket.next_seq, bucket.next_revision, bucket.tail, bucket.event_count())


def place(bucket: BucketState, event: Event, writes: WriteSet) -> None:
    """Puts an event that lives nowhere yet where it belongs: it is the tail record, or a record of the head."""
    older = event
    if bucket.tail is None or event.younger_than(bucket.tail):
        if bucket.tail is None:
            bucket.tail = event
            return
        older, bucket.tail = bucket.tail, event
    bucket.head.put(older)
    writes.put_record(bucket.number, older)


def append_many(bucket: BucketState, fact: EventsAppended, first_change: Change, writes: WriteSet) -> None:
    """The youngest of the new events is among the records, so that it can become the tail record."""
    # From seqs, and from changes that count from 1, to the changes that were given out for these events.
    from_seq, from_one = first_change - bucket.next_seq, first_change - 1
    bucket.next_seq = Seq(bucket.next_seq + fact.event_count)
    for run in fact.sealed:
        put_run(bucket, run, writes, moved_by=from_one)
    records = [numbered(event, event.seq + from_seq) for event in fact.records]
    youngest = max(records, key=lambda event: (event.start_us, event.seq))
    others = [event for event in records if event is not youngest]
    if bucket.tail is None or youngest.younger_than(bucket.tail):
        if bucket.tail is not None:
            others.append(bucket.tail)
        bucket.tail = youngest
    else:
        others.append(youngest)
    bucket.head.put_all(others)
    writes.put_records(bucket.number, others)
    note_tail(bucket, writes)


def put_run(bucket: BucketState, run: SealedRun, writes: WriteSet, *, moved_by: int = 0) -> None:
    """`moved_by`: what the changes are moved by."""
    assert bucket.index.get(run.first_seq) is None, "each event lives in one place, so its seq keys one segment"
    entry = SegmentEntry(
        run.first_seq,
        run.last_seq,
        run.count,
        run.min_start_us,
        run.max_start_us,
        run.max_end_us,
        Change(run.min_change + moved_by),
        Change(run.max_change + moved_by),
        bucket.next_revision,
    )
    _put_segment(bucket, SegmentWrite(entry, sealed=run.segment), writes)


def _put_segment(bucket: BucketState, segment: SegmentWrite, writes: WriteSet) -> None:
    bucket.index.put(segment.entry)
    writes.put_segment(bucket.number, segment)
    note_change(bucket, writes)


def replace_events(bucket: BucketState, events: list[Event], writes: WriteSet, load: LoadSegment) -> None:
    """Each where it lives, a segment once however many of its events change; then the youngest of all is the tail."""
    assert bucket.tail is not None, "an empty bucket has nothing to replace"
    sealed: dict[Seq, Event] = {}
    for event in events:
        if event.seq == bucket.tail.seq:
            bucket.tail = event
        elif bucket.head.get(event.seq) is not None:
            bucket.head.put(event)
            writes.put_record(bucket.number, event)
        else:
            sealed[event.seq] = event
    found = bucket.sealed_rows(set(sealed), load)
    assert sum(len(rows) for _, _, rows in found) == len(sealed), "what is replaced is stored"
    for entry, columns, rows in found:
        _rewrite(bucket, entry, _with(columns, rows, [sealed[Seq(seq)] for seq in columns.seq[rows].tolist()]), writes)
    latest_us = max((entry.max_start_us for entry in bucket.index), default=None)
    youngest = bucket.head.youngest()
    if (latest_us is not None and latest_us >= bucket.tail.start_us) or (
        youngest is not None and youngest.younger_than(bucket.tail)
    ):
        _put_youngest_at_the_tail(bucket, writes, load)
    note_change(bucket, writes)


def _put_youngest_at_the_tail(bucket: BucketState, writes: WriteSet, load: LoadSegment) -> None:
    """Changes places if an event is younger than the tail record."""
    assert bucket.tail is not None, "there are events"
    youngest, home = youngest_but_the_tail(bucket, load)
    if youngest is None or not youngest.younger_than(bucket.tail):
        return
    older, bucket.tail = bucket.tail, youngest
    _take_out(bucket, youngest, home, writes)
    bucket.head.put(older)
    writes.put_record(bucket.number, older)


def _take_out(
    bucket: BucketState, event: Event, home: tuple[SegmentEntry, Columns, int] | None, writes: WriteSet
) -> None:
    """Of the segment that it is sealed in, else of the head."""
    if home is not None:
        entry, columns, row = home
        _rewrite(bucket, entry, _without(columns, row), writes)
    else:
        bucket.head.remove(event.seq)
        writes.drop_record(bucket.number, event.seq)


def delete(bucket: BucketState, seq: Seq, writes: WriteSet, load: LoadSegment) -> None:
    if bucket.tail is not None and bucket.tail.seq == seq:
        youngest, home = youngest_but_the_tail(bucket, load)
        if youngest is not None:
            _take_out(bucket, youngest, home, writes)
        bucket.tail = youngest
        note_change(bucket, writes)
    elif bucket.head.get(seq) is not None:
        bucket.head.remove(seq)
        writes.drop_record(bucket.number, seq)
        note_change(bucket, writes)
    else:
        found = bucket.find_sealed(seq, load)
        assert found is not None, "only a stored event is deleted"
        entry, columns, row = found
        _rewrite(bucket, entry, _without(columns, row), writes)


def delete_many(bucket: BucketState, ranges: list[SeqRange], writes: WriteSet, load: LoadSegment) -> None:
    """A segment is rewritten once, and one of which nothing is left is not even read where its seqs have no gaps."""
    firsts = np.array([first for first, _ in ranges], np.int64)
    lasts = np.array([last for _, last in ranges], np.int64)

    def gone(seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        at = firsts.searchsorted(seqs, side="right") - 1
        inside: NDArray[np.bool_] = (at >= 0) & (seqs <= lasts[at])
        return inside

    whole: list[Seq] = []
    for entry in bucket.index.maybe_holding_any(firsts, lasts):
        is_dense = entry.last_seq - entry.first_seq + 1 == entry.count
        at = int(firsts.searchsorted(entry.first_seq, side="right")) - 1
        if is_dense and at >= 0 and lasts[at] >= entry.last_seq:
            whole.append(entry.first_seq)
            continue
        columns = load(bucket.number, entry)
        left = ~gone(columns.seq)
        if not left.any():
            whole.append(entry.first_seq)
        elif not left.all():
            _rewrite(bucket, entry, columns.take(left).compacted(), writes)
    bucket.index.remove_all(whole)
    for first_seq in whole:
        writes.drop_segment(bucket.number, first_seq)
    recent = np.fromiter((event.seq for event in bucket.head), np.int64, len(bucket.head))
    dropped = [Seq(seq) for seq in recent[gone(recent)].tolist()]
    if len(dropped) >= _BULK_RECORDS:
        bucket.head.remove_all(dropped)
    else:
        for seq in dropped:
            bucket.head.remove(seq)
    for seq in dropped:
        writes.drop_record(bucket.number, seq)
    tail = bucket.tail
    if tail is not None and gone(np.array([tail.seq]))[0]:
        delete(bucket, tail.seq, writes, load)
    note_change(bucket, writes)


def youngest_but_the_tail(
    bucket: BucketState, load: LoadSegment
) -> tuple[Event | None, tuple[SegmentEntry, Columns, int] | None]:
    """The event that becomes the tail record if that goes, and where it is sealed, if it is. Raises DataDamaged."""
    youngest = bucket.head.youngest()
    home: tuple[SegmentEntry, Columns, int] | None = None
    latest_us = max((entry.max_start_us for entry in bucket.index), default=None)
    if latest_us is not None and (youngest is None or latest_us >= youngest.start_us):
        for entry in [entry for entry in bucket.index if entry.max_start_us == latest_us]:
            columns = load(bucket.number, entry)
            row = int(np.flatnonzero(columns.start_us == latest_us)[-1])  # of equal starts the greatest seq
            event = columns.event(row)
            if youngest is None or event.younger_than(youngest):
                youngest, home = event, (entry, columns, row)
    return youngest, home


def _without(columns: Columns, row: int) -> Columns:
    """The columns less one row; a payload that nobody uses any more goes with it, so that what is erased is gone."""
    return columns.take(np.arange(len(columns)) != row).compacted()


def _with(columns: Columns, rows: NDArray[np.intp], events: list[Event]) -> Columns:
    """The columns with other events in some rows; payloads that nobody uses any more go."""
    start_us, duration_us, code = columns.start_us.copy(), columns.duration_us.copy(), columns.payload_code.copy()
    codes = {payload: at for at, payload in enumerate(columns.payloads)}
    start_us[rows] = [event.start_us for event in events]
    duration_us[rows] = [event.duration_us for event in events]
    code[rows] = [codes.setdefault(event.payload, len(codes)) for event in events]
    change = columns.change.copy()
    change[rows] = [event.change for event in events]
    return Columns(columns.seq, start_us, duration_us, code, list(codes), change).compacted()


def _rewrite(bucket: BucketState, entry: SegmentEntry, columns: Columns, writes: WriteSet) -> None:
    """Puts a segment with other content in the place of `entry`'s; its key is again its least seq."""
    bucket.index.remove(entry.first_seq)
    writes.drop_segment(bucket.number, entry.first_seq)
    if len(columns):
        _put_segment(bucket, SegmentWrite(entry_of(columns, bucket.next_revision), columns=columns), writes)
    else:
        note_change(bucket, writes)
