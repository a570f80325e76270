"""A fact and the state -> the state after it. Deterministic: no clock, no randomness, no configuration.

Applying the same facts to the same state gives the same state, bit for bit; a cluster feeds this function from its
journal. What the disk must be told is noted in a `WriteSet` on the way.

Change numbers are given here, in the order of the facts. Each is kept with what it changed, or with the tombstone of what
is gone: so the greatest one that was ever given is always on the disk, and a restart goes on behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from awlog.log.placement import (
    append_many,
    delete,
    delete_many,
    note_change,
    note_tail,
    numbered,
    place,
    put_run,
    replace_events,
)
from awlog.log.state import BucketState, LoadSegment, State
from awlog.log.write_set import (
    BucketGone,
    EventGone,
    EventsGone,
    ProducerRow,
    SettingGone,
    SettingRow,
    WriteSet,
)
from awlog.model.bucket import BucketMeta
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
    SettingChanged,
    TailExtended,
    TokenBound,
    TokenCreated,
    TokenRevoked,
    TokensRequired,
    TokenUsed,
)

# Producers remembered, at about 200 bytes each. Who is forgotten is told so by the sequence 0 and may send everything
# again: most of it is found to be there already, by the rules of heartbeats.
PRODUCERS_MAX = 4096


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
            note_tail(bucket, writes)
        case EventAppended():
            bucket = _bucket(state, fact.bucket_number)
            assert fact.event.seq == bucket.next_seq, "sequence numbers are given out in order, without gaps"
            bucket.next_seq = Seq(bucket.next_seq + 1)
            place(bucket, numbered(fact.event, _next_changes(state, writes)), writes)
            note_tail(bucket, writes)
        case EventsAppended():
            first_change = _next_changes(state, writes, fact.event_count)
            append_many(_bucket(state, fact.bucket_number), fact, first_change, writes)
        case EventsReplaced():
            first_change = _next_changes(state, writes, len(fact.events))
            events = [numbered(event, change) for change, event in enumerate(fact.events, start=first_change)]
            replace_events(_bucket(state, fact.bucket_number), events, writes, load)
        case EventDeleted():
            delete(_bucket(state, fact.bucket_number), fact.seq, writes, load)
            writes.tombstones[_next_changes(state, writes)] = EventGone(fact.bucket_number, fact.seq)
        case EventsDeleted():
            delete_many(_bucket(state, fact.bucket_number), fact.ranges, writes, load)
            first_change = _next_changes(state, writes, len(fact.ranges))
            for number, (first, last) in enumerate(fact.ranges, start=first_change):
                writes.tombstones[Change(number)] = EventsGone(fact.bucket_number, first, last)
        case EventsPlaced():
            bucket = _bucket(state, fact.bucket_number)
            first_change = _next_changes(state, writes, len(fact.events))
            for number, event in enumerate(fact.events, start=first_change):
                assert bucket.head.get(event.seq) is None, "what is placed is not stored"
                bucket.next_seq = max(bucket.next_seq, Seq(event.seq + 1))
                place(bucket, numbered(event, number), writes)
            note_change(bucket, writes)
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
            put_run(bucket, fact.run, writes)
        case BucketCreated():
            assert fact.meta.number == state.next_bucket_number, "bucket numbers are given out in order"
            state.next_bucket_number = BucketNumber(fact.meta.number + 1)
            meta = _numbered_meta(fact.meta, _next_changes(state, writes))
            bucket = state.add_bucket(meta)
            writes.buckets[meta.number] = meta
            writes.next_bucket_number = state.next_bucket_number
            note_tail(bucket, writes)
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
        case TokenBound():
            bound = msgspec.structs.replace(state.tokens[fact.token_id], device_id=fact.device_id)
            state.tokens[bound.id] = writes.tokens[bound.id] = bound
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


def _numbered_meta(meta: BucketMeta, change: Change) -> BucketMeta:
    return replace(meta, change=change)


def _advance(state: State, fact: ProducerAdvanced, writes: WriteSet) -> None:
    """Puts the producer behind all others; when there are too many, forgets one."""
    known = state.producers.pop(fact.producer_id, None)
    assert known is None or fact.last_sequence > known.last_sequence, "a producer's sequence only rises"
    row = ProducerRow(state.next_turn, fact.last_sequence)
    state.next_turn += 1
    state.producers[fact.producer_id] = writes.producers[fact.producer_id] = row
    if len(state.producers) > PRODUCERS_MAX:
        silent = _silent_producer(state.producers)
        del state.producers[silent]
        writes.producers[silent] = None


def _silent_producer(producers: Iterable[str]) -> str:
    """Of whoever has most of them, the one that was silent longest: nobody pushes out another's. 0.5 ms for all that may be.

    `producers` are in the order in which they were heard. Whose they are stands in front of their names.
    """
    owners = Counter(producer.rpartition("\n")[0] for producer in producers)
    greedy = max(owners, key=owners.__getitem__)
    return next(producer for producer in producers if producer.rpartition("\n")[0] == greedy)
