"""A command and the state -> facts and the answer, or a refusal. Pure: nothing is changed here.

The answer becomes true, and is given, when the facts are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, assert_never

import msgspec

from awlog.log.decision import Appended, Decision, Stored, given
from awlog.log.editing import decide_edits
from awlog.log.filtering import decide_filtered_heartbeat, filtered_import, filtered_insert
from awlog.log.filters import SETTING as FILTERS_SETTING
from awlog.log.filters import check_filters
from awlog.log.heartbeats import decide_heartbeat, decide_heartbeats
from awlog.log.mirror import decide_push, require_own
from awlog.log.placement import youngest_but_the_tail
from awlog.log.retention import SETTING as RETENTION_SETTING
from awlog.log.retention import check_retention
from awlog.log.sealing import moved, seal_new
from awlog.log.segment import EVENT_BYTES, SEGMENT_EVENTS
from awlog.log.state import BucketState, LoadSegment, State
from awlog.model.bucket import BucketMeta
from awlog.model.commands import (
    ChangeSetting,
    Command,
    CreateBucket,
    CreateToken,
    DeleteBucket,
    DeleteEvent,
    EditEvents,
    ImportBuckets,
    InsertEvents,
    NewEvent,
    NoteTokenUses,
    PushChanges,
    ReleaseBucket,
    RequireTokens,
    RevokeToken,
    SealedBeforehand,
    SendHeartbeat,
    SendHeartbeats,
    UpdateBucket,
)
from awlog.model.errors import BucketExists, InsufficientStorage, NoSuchToken
from awlog.model.event import BUCKET_NUMBER_MAX, BucketNumber, Event, Payload, Seq, seq_in_bucket
from awlog.model.facts import (
    BucketCreated,
    BucketDeleted,
    BucketUpdated,
    EventAppended,
    EventDeleted,
    EventsAppended,
    EventsReplaced,
    Fact,
    SettingChanged,
    TokenCreated,
    TokenRevoked,
    TokensRequired,
    TokenUsed,
)
from awlog.model.payload import with_field

# From this many new events on, full runs of them become segments at once instead of records first.
BULK_EVENTS = 2 * SEGMENT_EVENTS
# And from so many bytes of payloads on, which is one segment.
_BULK_BYTES: Final = SEGMENT_EVENTS * EVENT_BYTES


def is_bulk(events: Sequence[NewEvent]) -> bool:
    """Is this to be laid out in segments, as far as it is new? 0.03 µs an event."""
    if len(events) >= BULK_EVENTS:
        return True
    return len(events) > 1 and sum([len(event.payload) for event in events]) >= _BULK_BYTES


def decide(state: State, command: Command, load: LoadSegment) -> Decision:
    """What follows from `command`. Raises Refused: NoSuchBucket, BucketExists, BadRequest. O(1) for a heartbeat in order."""
    match command:
        case SendHeartbeat():
            bucket = state.bucket(command.bucket_id)
            if bucket.meta.origin is not None:
                require_own(bucket)  # raises; not called for the many that are nobody else's
            filters = state.filters()
            if filters is not None:
                return decide_filtered_heartbeat(filters, bucket, command, load)
            return decide_heartbeat(bucket, command, load)
        case SendHeartbeats():
            return Decision(*decide_heartbeats(state, command, load))
        case InsertEvents():
            require_own(state.bucket(command.bucket_id))
            return _insert(state.bucket(command.bucket_id), filtered_insert(state.filters(), command), load)
        case CreateBucket():
            if state.find_bucket(command.bucket_id) is not None:
                raise BucketExists(f"There is a bucket named {command.bucket_id!r} already")
            return Decision([BucketCreated(_new_meta(command, state.next_bucket_number))], None)
        case UpdateBucket():
            require_own(state.bucket(command.bucket_id))
            meta = state.bucket(command.bucket_id).meta
            given = {name: getattr(command, name) for name in ("type", "client", "hostname", "name", "data")}
            changes = {name: value for name, value in given.items() if value is not None}
            if command.device_id is not None:
                changes["data"] = with_field(changes.get("data", meta.data), "device_id", command.device_id)
            return Decision([BucketUpdated(msgspec.structs.replace(meta, **changes))], None)
        case DeleteBucket():
            require_own(state.bucket(command.bucket_id))
            return Decision([BucketDeleted(state.bucket(command.bucket_id).number)], None)
        case DeleteEvent():
            bucket = state.bucket(command.bucket_id)
            require_own(bucket)
            seq = seq_in_bucket(bucket.number, command.wire_id)
            if seq is None or bucket.find(seq, load) is None:
                return Decision([], answer=False)
            _check_tail_can_go(bucket, seq, load)
            return Decision([EventDeleted(bucket.number, seq)], answer=True)
        case ImportBuckets():
            return _import(state, filtered_import(state.filters(), command), load)
        case PushChanges():
            return decide_push(state, command, load)
        case ReleaseBucket():
            meta = state.bucket(command.bucket_id).meta
            released = [] if meta.origin is None else [BucketUpdated(msgspec.structs.replace(meta, origin=None))]
            return Decision([*released], answer=bool(released))
        case ChangeSetting():
            if command.value is not None:
                check_setting(command.key, command.value)
            return Decision([SettingChanged(command.key, command.value)], None)
        case CreateToken():
            assert command.token.id not in state.tokens, "a token's id is random, and given once"
            return Decision([TokenCreated(command.token)], None)
        case RevokeToken():
            if command.token_id not in state.tokens:
                raise NoSuchToken("There is no token with this id; `awlog token list` shows them")
            return Decision([TokenRevoked(command.token_id)], None)
        case NoteTokenUses():
            return Decision([TokenUsed(*use) for use in command.used_us.items() if use[0] in state.tokens], None)
        case RequireTokens():
            return Decision([TokensRequired(command.required)], None)
        case EditEvents():
            return decide_edits(state, command)
        case _:
            assert_never(command)


# Settings that the server itself obeys, and what says whether they can be obeyed.
_CHECKS: Final[dict[str, Callable[[bytes], object]]] = {
    FILTERS_SETTING: check_filters,
    RETENTION_SETTING: check_retention,
}


def check_setting(key: str, value: bytes) -> None:
    """Raises BadRequest if the server could not obey this setting."""
    check = _CHECKS.get(key)
    if check is not None:
        check(value)


def _insert(bucket: BucketState, command: InsertEvents, load: LoadSegment) -> Decision:
    """Replaces the events whose ids are of this bucket, appends the others. Of two with one id the later counts."""
    if command.sealed is not None or all(event.wire_id is None for event in command.events):
        return _append(bucket.number, bucket.next_seq, command.events, command.sealed)
    named = {seq_in_bucket(bucket.number, sent.wire_id) for sent in command.events if sent.wire_id is not None}
    stored_seqs = bucket.stored_of({seq for seq in named if seq is not None}, load)
    if stored_seqs:
        youngest_but_the_tail(bucket, load)  # raises DataDamaged now if the heir of the tail record cannot be read
    replaced: dict[Seq, Event] = {}
    seqs: list[Seq] = []
    appended: list[Fact] = []
    new: dict[Seq, Event] = {}
    next_seq = bucket.next_seq
    for sent in command.events:
        seq = None if sent.wire_id is None else seq_in_bucket(bucket.number, sent.wire_id)
        if seq is not None and seq in stored_seqs:
            replaced[seq] = Event(seq, sent.start_us, sent.duration_us, sent.payload)
        else:
            seq = given(next_seq)
            next_seq = Seq(next_seq + 1)
            new[seq] = Event(seq, sent.start_us, sent.duration_us, sent.payload)
            appended.append(EventAppended(bucket.number, new[seq]))
        seqs.append(seq)
    facts = [EventsReplaced(bucket.number, list(replaced.values())), *appended] if replaced else appended
    return Decision(facts, Stored(bucket.number, [replaced.get(seq) or new[seq] for seq in seqs]))


def _check_tail_can_go(bucket: BucketState, seq: Seq, load: LoadSegment) -> None:
    """Raises DataDamaged if the tail record is to go and the segment with its heir cannot be read."""
    if bucket.tail is not None and bucket.tail.seq == seq:
        youngest_but_the_tail(bucket, load)


def _append(number: BucketNumber, next_seq: Seq, events: list[NewEvent], sealed: SealedBeforehand | None) -> Decision:
    """Events that are all new."""
    if not events:
        return Decision([], Stored(number, []))
    given(Seq(next_seq + len(events) - 1))
    if is_bulk(events):
        records, runs = moved(*(sealed or seal_new(events)), next_seq)
        fact: Fact = EventsAppended(number, len(events), records, runs)
        return Decision([fact], Appended(number, next_seq, events))
    stored = [Event(Seq(seq), e.start_us, e.duration_us, e.payload) for seq, e in enumerate(events, start=next_seq)]
    fact = EventAppended(number, stored[0]) if len(stored) == 1 else EventsAppended(number, len(stored), stored, [])
    return Decision([fact], Stored(number, stored))


def _import(state: State, command: ImportBuckets, load: LoadSegment) -> Decision:
    """Makes the buckets that are missing; skips the events that a bucket held before this import."""
    facts: list[Fact] = []
    next_number = state.next_bucket_number
    next_seqs: dict[str, tuple[BucketNumber, Seq]] = {}
    for create, events, sealed in command.buckets:
        bucket = state.find_bucket(create.bucket_id)
        if bucket is not None:
            require_own(bucket)
        added = events
        if create.bucket_id not in next_seqs:
            if bucket is None:
                facts.append(BucketCreated(_new_meta(create, next_number)))
                next_seqs[create.bucket_id] = (next_number, Seq(1))
                next_number = BucketNumber(next_number + 1)
            else:
                next_seqs[create.bucket_id] = (bucket.number, bucket.next_seq)
        if bucket is not None:
            added = _unknown(bucket, events, load)
        number, next_seq = next_seqs[create.bucket_id]
        facts.extend(_append(number, next_seq, added, sealed if len(added) == len(events) else None).facts)
        next_seqs[create.bucket_id] = (number, Seq(next_seq + len(added)))
    return Decision(facts, None)


def _unknown(bucket: BucketState, events: list[NewEvent], load: LoadSegment) -> list[NewEvent]:
    """The events of which the bucket holds no equal one: same start, duration and payload. O(both in their range)."""
    if not events or bucket.tail is None:
        return events
    first_us, last_us = min(e.start_us for e in events), max(e.start_us for e in events)
    held = _keys(bucket.head.newest_first(first_us, last_us))
    held |= _keys([bucket.tail])
    for entry in bucket.index.meeting(first_us, last_us):
        held |= _keys(load(bucket.number, entry).meeting(first_us, last_us).events())
    return [e for e in events if (e.start_us, e.duration_us, e.payload) not in held]


def _keys(events: Iterable[Event]) -> set[tuple[int, int, Payload]]:
    return {(event.start_us, event.duration_us, event.payload) for event in events}


def _new_meta(command: CreateBucket, number: BucketNumber) -> BucketMeta:
    if number > BUCKET_NUMBER_MAX:
        raise InsufficientStorage(f"This server has given out all its {BUCKET_NUMBER_MAX} bucket numbers")
    return BucketMeta(
        number,
        command.bucket_id,
        command.type,
        command.client,
        command.hostname,
        command.created_us,
        command.name,
        command.data,
    )
