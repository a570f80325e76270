"""A hub's mirrored buckets: a device's push -> facts. The device's seqs stay, so that what it edits or deletes is found.

The device is the only one who changes a mirrored bucket; where its push begins is remembered with the bucket, in the same
commit, so that a push that is sent again is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from awlog.log.decision import Decision
from awlog.log.edits import seq_ranges
from awlog.log.state import BucketState, LoadSegment, State
from awlog.model.access import must_be_bound
from awlog.model.bucket import BucketMeta, Origin
from awlog.model.commands import PushChanges
from awlog.model.errors import MirroredBucket, PushConflict
from awlog.model.event import BucketNumber, Event, Seq
from awlog.model.facts import (
    BucketCreated,
    BucketDeleted,
    BucketUpdated,
    EventsDeleted,
    EventsPlaced,
    EventsReplaced,
    Fact,
    MirrorAdvanced,
    TokenBound,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEVICE_CHARS = 8


def require_own(bucket: BucketState) -> None:
    """Raises MirroredBucket if only a device may change it."""
    if bucket.meta.origin is not None:
        raise MirroredBucket(bucket.meta.id, bucket.meta.origin.device_id)


def mirrored(state: State, device_id: str, bucket_id: str) -> BucketState | None:
    """The bucket that mirrors this one of a device's. O(buckets)."""
    for bucket in state.buckets():
        origin = bucket.meta.origin
        if origin is not None and origin.bucket_id == bucket_id and origin.device_id == device_id:
            return bucket
    return None


def cursors(state: State, device_id: str) -> dict[str, tuple[int, int]]:
    """How far each bucket of a device was pushed: epoch and change, by the bucket's id there."""
    return {
        origin.bucket_id: (origin.epoch, origin.change)
        for bucket in state.buckets()
        if (origin := bucket.meta.origin) is not None and origin.device_id == device_id
    }


def id_here(state: State, device_id: str, bucket_id: str) -> str:
    """Under which id a device's bucket is, or would be, mirrored: its own if that is free."""
    known = mirrored(state, device_id, bucket_id)
    return _free_id(state, device_id, bucket_id) if known is None else known.meta.id


def ids_here(state: State, device_id: str, bucket_ids: list[str]) -> Iterator[tuple[str, str]]:
    """As `id_here`, for many: each with its id here. O(buckets), then O(1) for each."""
    known = {
        origin.bucket_id: bucket.meta.id
        for bucket in state.buckets()
        if (origin := bucket.meta.origin) is not None and origin.device_id == device_id
    }
    for bucket_id in bucket_ids:
        yield bucket_id, known.get(bucket_id) or _free_id(state, device_id, bucket_id)


def _free_id(state: State, device_id: str, bucket_id: str) -> str:
    named = f"{bucket_id}@{device_id[:_DEVICE_CHARS]}"
    # More than one is taken only when mirrored buckets were released.
    candidates = chain((bucket_id, named), (f"{named}-{n}" for n in count(2)))
    return next(each for each in candidates if state.find_bucket(each) is None)


def decide_push(state: State, push: PushChanges, load: LoadSegment) -> Decision:
    """Raises PushConflict, MirroredBucket, Forbidden, Unauthorized.

    O(items), and a look into each segment that holds some of them.
    """
    facts: list[Fact] = []
    if push.token_id is not None and must_be_bound(state.tokens, push.token_id, push.device_id, push.now_us):
        facts.append(TokenBound(push.token_id, push.device_id))
    bucket = mirrored(state, push.device_id, push.bucket_id)
    origin = None if bucket is None else bucket.meta.origin
    cursor = (0, 0) if origin is None else (origin.epoch, origin.change)
    begins_anew = push.after == 0 and push.epoch > cursor[0]
    if not begins_anew and (push.epoch, push.after) != cursor:
        raise PushConflict(*cursor)
    events: dict[Seq, Event] = {}
    gone: list[tuple[Seq, Seq]] = []
    here = id_here(state, push.device_id, push.bucket_id)
    filters = state.filters()
    for item in push.items:
        if item.event is not None:
            event = item.event if filters is None else filters.kept_event(here, item.event)
            if event is not None:  # what is dropped leaves what is stored as it is
                events[event.seq] = event
        elif item.gone is not None:
            gone.append(item.gone)
        else:
            events.clear()
            gone.clear()
            if bucket is not None:
                facts.append(BucketDeleted(bucket.number))
                bucket = None
    if push.bucket is None:
        if bucket is not None:
            facts.append(MirrorAdvanced(bucket.number, _origin(push)))
        return Decision(facts, None)
    number = state.next_bucket_number if bucket is None else bucket.number
    meta = _meta(push, number, here)
    if bucket is None:
        facts.append(BucketCreated(meta))
    elif replace(meta, change=bucket.meta.change, origin=bucket.meta.origin) != bucket.meta:
        facts.append(BucketUpdated(meta))
    facts += _event_facts(bucket, number, events, gone, load)
    facts.append(MirrorAdvanced(number, _origin(push)))
    return Decision(facts, None)


def _event_facts(
    bucket: BucketState | None,
    number: BucketNumber,
    events: dict[Seq, Event],
    gone: list[tuple[Seq, Seq]],
    load: LoadSegment,
) -> list[Fact]:
    facts: list[Fact] = []
    stored: set[Seq] = set()
    if bucket is not None:
        stored = bucket.stored_of(set(events), load)
        ranges = seq_ranges(_stored_in(bucket, gone, load).tolist())
        if ranges:
            facts.append(EventsDeleted(number, ranges))
    if stored:
        facts.append(EventsReplaced(number, [events[seq] for seq in sorted(stored)]))
    new = [events[seq] for seq in sorted(events.keys() - stored)]
    if new:
        facts.append(EventsPlaced(number, new))
    return facts


def _stored_in(bucket: BucketState, ranges: list[tuple[Seq, Seq]], load: LoadSegment) -> NDArray[np.int64]:
    """The stored seqs that lie in these ranges, ascending. Segments without gaps are not looked into."""
    recent = [event.seq for event in bucket.head]
    if bucket.tail is not None:
        recent.append(bucket.tail.seq)
    known = np.array(sorted(recent), np.int64)
    found = [np.empty(0, np.int64)]
    for first, last in ranges:
        found.append(known[known.searchsorted(first) : known.searchsorted(last, side="right")])
        for entry in bucket.index:
            low, high = max(first, entry.first_seq), min(last, entry.last_seq)
            if low > high:
                continue
            if entry.last_seq - entry.first_seq + 1 == entry.count:
                found.append(np.arange(low, high + 1, dtype=np.int64))
            else:
                seqs = load(bucket.number, entry).seq
                found.append(seqs[seqs.searchsorted(low) : seqs.searchsorted(high, side="right")])
    return np.unique(np.concatenate(found))


def _origin(push: PushChanges) -> Origin:
    return Origin(push.device_id, push.bucket_id, push.epoch, push.to)


def _meta(push: PushChanges, number: BucketNumber, here: str) -> BucketMeta:
    """The metadata stay the device's, the id is the one here."""
    made = push.bucket
    assert made is not None, "asked only when there is a bucket"
    return BucketMeta(
        number, here, made.type, made.client, made.hostname, made.created_us, made.name, made.data, origin=_origin(push)
    )
