"""A fact and the state -> the state after it. Deterministic: no clock, no randomness, no configuration.

Applying the same facts to the same state gives the same state, bit for bit; a cluster feeds this function from its
journal. What the disk must be told is noted in a `WriteSet` on the way.

Change numbers are given here, in the order of the facts. Each is kept with what it changed, or with the tombstone of what
is gone: so the greatest one that was ever given is always on the disk, and a restart goes on behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec
import numpy as np
from msgspec.structs import replace

from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry, entry_of
from awlog.log.state import BucketState, LoadSegment, State
from awlog.log.write_set import (
    BucketGone,
    EventGone,
    EventsGone,
    ProducerRow,
    SegmentWrite,
    SettingGone,
    SettingRow,
    TailRow,
    WriteSet,
)
from awlog.model.bucket import BucketMeta
from awlog.model.edits import SeqRange
from awlog.model.event import BucketNumber, Change, Event, Seq
from awlog.model.facts import (
    BucketCreated,
    BucketDeleted,
    BucketUpdated,
    EventAppended,
    EventDeleted,
    EventsAppended,
    EventsDeleted,
    EventsPlaced,
    EventsReplaced,
    Fact,
    MirrorAdvanced,
    ProducerAdvanced,
    RecordsSealed,
    SealedRun,
    SettingChanged,
    TailExtended,
    TokenCreated,
    TokenRevoked,
    TokensRequired,
    TokenUsed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Producers remembered, at about 200 bytes each. Who is forgotten is told so by the sequence 0 and may send everything
# again: most of it is found to be there already, by the rules of heartbeats.
PRODUCERS_MAX = 4096
# From this many records on, building a head anew is cheaper than taking them out one by one.
_BULK_RECORDS = 256


def apply(state: State, fact: Fact, writes: WriteSet, load: LoadSegment) -> None:
    """Takes `fact` into `state` and notes in `writes` what it touched. O(1) for a heartbeat.

    `load` gives sealed history, which is state as well; it is asked only by facts that change sealed events.
    """
    match fact:
        case TailExtended():
            bucket = _bucket(state, fact.bucket_number)
            assert bucket.tail is not None, "an empty bucket has nothing to extend"
            assert fact.seq == bucket.tail.seq, "only the tail record grows"
            assert fact.duration_us >= bucket.tail.duration_us, "a heartbeat never takes time back"
            tail = bucket.tail
            change = state.next_change
            state.next_change = writes.next_change = Change(change + 1)
            bucket.tail = Event(tail.seq, tail.start_us, fact.duration_us, tail.payload, change)
            _note_tail(bucket, writes)
        case EventAppended():
            bucket = _bucket(state, fact.bucket_number)
            assert fact.event.seq == bucket.next_seq, "sequence numbers are given out in order, without gaps"
            bucket.next_seq = Seq(bucket.next_seq + 1)
            _place(bucket, _numbered(fact.event, _next_changes(state, writes)), writes)
            _note_tail(bucket, writes)
        case EventsAppended():
            first_change = _next_changes(state, writes, fact.event_count)
            _append_many(_bucket(state, fact.bucket_number), fact, first_change, writes)
        case EventsReplaced():
            first_change = _next_changes(state, writes, len(fact.events))
            events = [_numbered(event, change) for change, event in enumerate(fact.events, start=first_change)]
            _replace(_bucket(state, fact.bucket_number), events, writes, load)
        case EventDeleted():
            _delete(_bucket(state, fact.bucket_number), fact.seq, writes, load)
            writes.tombstones[_next_changes(state, writes)] = EventGone(fact.bucket_number, fact.seq)
        case EventsDeleted():
            _delete_many(_bucket(state, fact.bucket_number), fact.ranges, writes, load)
            first_change = _next_changes(state, writes, len(fact.ranges))
            for number, (first, last) in enumerate(fact.ranges, start=first_change):
                writes.tombstones[Change(number)] = EventsGone(fact.bucket_number, first, last)
        case EventsPlaced():
            bucket = _bucket(state, fact.bucket_number)
            first_change = _next_changes(state, writes, len(fact.events))
            for number, event in enumerate(fact.events, start=first_change):
                assert bucket.head.get(event.seq) is None, "what is placed is not stored"
                bucket.next_seq = max(bucket.next_seq, Seq(event.seq + 1))
                _place(bucket, _numbered(event, number), writes)
            _note_change(bucket, writes)
        case MirrorAdvanced():
            bucket = _bucket(state, fact.bucket_number)
            bucket.meta = writes.buckets[bucket.number] = replace(bucket.meta, origin=fact.origin)
        case RecordsSealed():
            bucket = _bucket(state, fact.bucket_number)
            bucket.head.remove_all(fact.seqs)
            for seq in fact.seqs:
                writes.drop_record(fact.bucket_number, seq)
            bucket.index.remove_all(fact.merged)
            for first_seq in fact.merged:
                writes.drop_segment(fact.bucket_number, first_seq)
            _put_run(bucket, fact.run, writes)
        case BucketCreated():
            assert fact.meta.number == state.next_bucket_number, "bucket numbers are given out in order"
            state.next_bucket_number = BucketNumber(fact.meta.number + 1)
            meta = _numbered_meta(fact.meta, _next_changes(state, writes))
            bucket = state.add_bucket(meta)
            writes.buckets[meta.number] = meta
            writes.next_bucket_number = state.next_bucket_number
            _note_tail(bucket, writes)
        case BucketUpdated():
            meta = _numbered_meta(fact.meta, _next_changes(state, writes))
            _bucket(state, meta.number).meta = writes.buckets[meta.number] = meta
        case BucketDeleted():
            bucket_id = _bucket(state, fact.bucket_number).meta.id
            state.remove_bucket(fact.bucket_number)
            writes.drop_bucket(fact.bucket_number)
            writes.tombstones[_next_changes(state, writes)] = BucketGone(fact.bucket_number, bucket_id)
        case SettingChanged():
            if fact.value is not None:
                state.settings[fact.key] = fact.value
                writes.settings[fact.key] = SettingRow(fact.value, _next_changes(state, writes))
            elif state.settings.pop(fact.key, None) is not None:
                writes.settings[fact.key] = None
                writes.tombstones[_next_changes(state, writes)] = SettingGone(fact.key)
        case ProducerAdvanced():
            _advance(state, fact, writes)
        case TokenCreated():
            assert fact.token.id not in state.tokens, "a token's id is given once"
            state.tokens[fact.token.id] = writes.tokens[fact.token.id] = fact.token
            state.tokens_required = writes.tokens_required = True
        case TokenRevoked():
            del state.tokens[fact.token_id]
            writes.tokens[fact.token_id] = None
        case TokenUsed():
            used = msgspec.structs.replace(state.tokens[fact.token_id], last_used_us=fact.used_us)
            state.tokens[used.id] = writes.tokens[used.id] = used
        case TokensRequired():
            state.tokens_required = writes.tokens_required = fact.required
        case _:
            assert_never(fact)


def _bucket(state: State, bucket_number: BucketNumber) -> BucketState:
    bucket = state.numbered(bucket_number)
    assert bucket is not None, "facts are decided against the state they are applied to"
    return bucket


def _next_changes(state: State, writes: WriteSet, count: int = 1) -> Change:
    """Gives out so many change numbers: this one and those that follow it."""
    first = state.next_change
    state.next_change = writes.next_change = Change(first + count)
    return first


def _numbered(event: Event, change: int) -> Event:
    return Event(event.seq, event.start_us, event.duration_us, event.payload, Change(change))


def _numbered_meta(meta: BucketMeta, change: Change) -> BucketMeta:
    return replace(meta, change=change)


def _advance(state: State, fact: ProducerAdvanced, writes: WriteSet) -> None:
    """Puts the producer behind all others; forgets the one in front when there are too many."""
    known = state.producers.pop(fact.producer_id, None)
    assert known is None or fact.last_sequence > known.last_sequence, "a producer's sequence only rises"
    row = ProducerRow(state.next_turn, fact.last_sequence)
    state.next_turn += 1
    state.producers[fact.producer_id] = writes.producers[fact.producer_id] = row
    if len(state.producers) > PRODUCERS_MAX:
        silent = next(iter(state.producers))
        del state.producers[silent]
        writes.producers[silent] = None


def _note_change(bucket: BucketState, writes: WriteSet) -> None:
    """Something that was there is no longer where or what it was: who keeps a copy of the bucket must read it anew."""
    bucket.next_revision += 1
    _note_tail(bucket, writes)


def _note_tail(bucket: BucketState, writes: WriteSet) -> None:
    writes.tails[bucket.number] = TailRow(bucket.next_seq, bucket.next_revision, bucket.tail, bucket.event_count())


def _place(bucket: BucketState, event: Event, writes: WriteSet) -> None:
    """Puts an event that lives nowhere yet where it belongs: it is the tail record, or a record of the head."""
    older = event
    if bucket.tail is None or event.younger_than(bucket.tail):
        if bucket.tail is None:
            bucket.tail = event
            return
        older, bucket.tail = bucket.tail, event
    bucket.head.put(older)
    writes.put_record(bucket.number, older)


def _append_many(bucket: BucketState, fact: EventsAppended, first_change: Change, writes: WriteSet) -> None:
    """The youngest of the new events is among the records, so that it can become the tail record."""
    # From seqs, and from changes that count from 1, to the changes that were given out for these events.
    from_seq, from_one = first_change - bucket.next_seq, first_change - 1
    bucket.next_seq = Seq(bucket.next_seq + fact.event_count)
    for run in fact.sealed:
        _put_run(bucket, run, writes, moved_by=from_one)
    records = [_numbered(event, event.seq + from_seq) for event in fact.records]
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
    _note_tail(bucket, writes)


def _put_run(bucket: BucketState, run: SealedRun, writes: WriteSet, *, moved_by: int = 0) -> None:
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
    _note_change(bucket, writes)


def _replace(bucket: BucketState, events: list[Event], writes: WriteSet, load: LoadSegment) -> None:
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
    _note_change(bucket, writes)


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


def _delete(bucket: BucketState, seq: Seq, writes: WriteSet, load: LoadSegment) -> None:
    if bucket.tail is not None and bucket.tail.seq == seq:
        youngest, home = youngest_but_the_tail(bucket, load)
        if youngest is not None:
            _take_out(bucket, youngest, home, writes)
        bucket.tail = youngest
        _note_change(bucket, writes)
    elif bucket.head.get(seq) is not None:
        bucket.head.remove(seq)
        writes.drop_record(bucket.number, seq)
        _note_change(bucket, writes)
    else:
        found = bucket.find_sealed(seq, load)
        assert found is not None, "only a stored event is deleted"
        entry, columns, row = found
        _rewrite(bucket, entry, _without(columns, row), writes)


def _delete_many(bucket: BucketState, ranges: list[SeqRange], writes: WriteSet, load: LoadSegment) -> None:
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
        _delete(bucket, tail.seq, writes, load)
    _note_change(bucket, writes)


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
        _note_change(bucket, writes)
