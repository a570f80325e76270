"""What sections 5 to 8, 10 and 11 of the REST contract say, in plain Python: dicts, lists and brute force.

The model takes each request together with the answer the engine gave, says whether the contract allows that answer, and
takes over the state after it. Ids are the engine's to choose: the model demands that none is ever given twice, and that
within a bucket they ascend in the order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

JsonObject = dict[str, Any]


def text_of(value: object) -> str:
    """JSON in which equal data are equal texts: the order of keys is nothing, `true` is not `1`, `"1"` is not `1`."""
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Fields:
    """What a bucket is, apart from its events."""

    type: str = "t"
    client: str = "c"
    hostname: str = "h"
    created_us: int = 0
    name: str | None = None
    data: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """An event as a client sends it."""

    start_us: int
    duration_us: int
    data: JsonObject
    id: int | None = None


# Requests


@dataclass(frozen=True)
class Create:
    bucket: str
    fields: Fields


@dataclass(frozen=True)
class Update:
    bucket: str
    changes: JsonObject


@dataclass(frozen=True)
class DeleteBucket:
    bucket: str


@dataclass(frozen=True)
class Beat:
    bucket: str
    sent: Sent
    pulsetime_us: int


@dataclass(frozen=True)
class Insert:
    bucket: str
    sent: tuple[Sent, ...]


@dataclass(frozen=True)
class DeleteEvent:
    bucket: str
    id: int


@dataclass(frozen=True)
class Setting:
    key: str
    value: object
    """None removes the key."""


Request = Create | Update | DeleteBucket | Beat | Insert | DeleteEvent | Setting


@dataclass(frozen=True)
class Stored:
    id: int
    start_us: int
    duration_us: int
    data: JsonObject

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us

    def holds(self, sent: Sent) -> bool:
        """Is this what was sent, whatever its id?"""
        return (self.start_us, self.duration_us, text_of(self.data)) == (
            sent.start_us,
            sent.duration_us,
            text_of(sent.data),
        )

    def covers(self, sent: Sent) -> bool:
        return (
            self.start_us <= sent.start_us
            and self.end_us >= sent.start_us + sent.duration_us
            and text_of(self.data) == text_of(sent.data)
        )

    def cut(self, start_us: int, end_us: int) -> Stored:
        start = max(self.start_us, start_us)
        return replace(self, start_us=start, duration_us=min(self.end_us, end_us) - start)


@dataclass
class Bucket:
    fields: Fields
    events: dict[int, Stored] = field(default_factory=dict)

    def longer_by(self, beat: Beat) -> Stored | None:
        """The tail record as the beat makes it; None if it does not continue it."""
        sent, tail = beat.sent, self.tail()
        if tail is None or text_of(tail.data) != text_of(sent.data):
            return None
        if not tail.start_us <= sent.start_us <= tail.end_us + beat.pulsetime_us:
            return None
        return replace(tail, duration_us=max(tail.end_us, sent.start_us + sent.duration_us) - tail.start_us)

    def covering(self, sent: Sent) -> list[Stored]:
        """What says already all that a late beat says."""
        tail = self.tail()
        if tail is None or sent.start_us > tail.start_us:
            return []
        return [event for event in self.events.values() if event.covers(sent)]

    def tail(self) -> Stored | None:
        return max(self.events.values(), key=lambda event: (event.start_us, event.id), default=None)

    def start_us(self) -> int | None:
        return min((event.start_us for event in self.events.values()), default=None)

    def end_us(self) -> int | None:
        return max((event.end_us for event in self.events.values()), default=None)

    def read(self, start_us: int, end_us: int, limit: int | None) -> list[Stored]:
        """Section 7: both ends inside, newest first, equal starts in the order of arrival, the first `limit`, cut."""
        met = [event for event in self.events.values() if event.end_us >= start_us and event.start_us <= end_us]
        if start_us > end_us:
            met = []
        met.sort(key=lambda event: (-event.start_us, event.id))
        return [event.cut(start_us, end_us) for event in met[:limit]]


@dataclass(frozen=True)
class Refusal:
    """The `type` of an error, as it is on the wire."""

    type: str


@dataclass
class Model:
    buckets: dict[str, Bucket] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    ids_given: set[int] = field(default_factory=set)

    def take(self, request: Request, answer: object) -> None:
        """`answer`: None, a boolean, a list of `Stored`, or a `Refusal`. Raises AssertionError if it is not allowed."""
        match request:
            case Setting():
                assert answer is None
                if request.value is None:
                    self.settings.pop(request.key, None)
                else:
                    self.settings[request.key] = request.value
                return
            case Create():
                if request.bucket in self.buckets:
                    assert answer == Refusal("BucketExists")
                else:
                    assert answer is None
                    self.buckets[request.bucket] = Bucket(request.fields)
                return
        bucket = self.buckets.get(request.bucket)
        if bucket is None:
            assert answer == Refusal("NoSuchBucket")
            return
        match request:
            case Update():
                assert answer is None
                bucket.fields = replace(bucket.fields, **request.changes)
            case DeleteBucket():
                assert answer is None
                del self.buckets[request.bucket]
            case Beat():
                self._beat(bucket, request, answer)
            case Insert():
                self._insert(bucket, request.sent, answer)
            case DeleteEvent():
                assert answer is (request.id in bucket.events)
                bucket.events.pop(request.id, None)

    def _beat(self, bucket: Bucket, beat: Beat, answer: object) -> None:
        assert isinstance(answer, list)
        (told,) = answer
        longer, covering = bucket.longer_by(beat), bucket.covering(beat.sent)
        if longer is not None:
            assert told == longer
            bucket.events[longer.id] = longer
        elif covering:
            assert told in covering
        else:
            self._is_new(bucket, told, beat.sent)

    def take_stream(self, beats: Sequence[Beat], new_ids: dict[str, list[int]]) -> tuple[int, int, int]:
        """How many of the beats, one after another, merge, are new, are refused. `new_ids` as for `take_import`."""
        merged = inserted = refused = 0
        for beat in beats:
            bucket = self.buckets.get(beat.bucket)
            if bucket is None:
                refused += 1
            elif (longer := bucket.longer_by(beat)) is not None:
                bucket.events[longer.id] = longer
                merged += 1
            elif bucket.covering(beat.sent):
                merged += 1
            else:
                sent = beat.sent
                told = Stored(new_ids[beat.bucket].pop(0), sent.start_us, sent.duration_us, sent.data)
                self._is_new(bucket, told, sent)
                inserted += 1
        assert not any(new_ids.values()), "nothing is stored that was not sent"
        return merged, inserted, refused

    def _insert(self, bucket: Bucket, sent: Sequence[Sent], answer: object) -> None:
        assert isinstance(answer, list)
        assert len(answer) == len(sent)
        known = set(bucket.events)
        counts = {each.id: each for each in sent if each.id in known}  # of two with one id the later
        for each, told in zip(sent, answer, strict=True):
            if each.id in known:
                assert told.id == each.id
                assert told.holds(counts[each.id])
                bucket.events[told.id] = told
            else:
                self._is_new(bucket, told, each)

    def take_import(
        self, documents: Sequence[tuple[str, Fields, Sequence[Sent]]], new_ids: dict[str, list[int]]
    ) -> None:
        """`new_ids`: the ids that each bucket holds now and did not before, ascending; the next read says of what."""
        held = {name: list(bucket.events.values()) for name, bucket in self.buckets.items()}
        added: dict[str, list[Sent]] = {}
        for name, fields, sent in documents:
            self.buckets.setdefault(name, Bucket(fields))
            added.setdefault(name, []).extend(
                each for each in sent if not any(event.holds(each) for event in held.get(name, []))
            )
        for name, sent in added.items():
            for each, new_id in zip(sent, new_ids[name], strict=True):
                told = Stored(new_id, each.start_us, each.duration_us, each.data)
                self._is_new(self.buckets[name], told, each)

    def take_erasure(
        self, name: str, start_us: int, end_us: int, data: JsonObject | None, held: Sequence[Stored]
    ) -> tuple[int, int]:
        """The time [start_us, end_us] is erased, of events with these data or of all. `held`: what the bucket holds then.

        How many events are deleted and cut. What is left of one behind the range, when something is left before it, is a
        new event.
        """
        bucket = self.buckets[name]
        left: dict[int, Stored] = {}
        behind: list[Sent] = []
        for event in bucket.events.values():
            is_met = event.end_us > start_us and event.start_us < end_us
            is_inside = start_us <= event.start_us and event.end_us <= end_us
            if (data is not None and text_of(data) != text_of(event.data)) or not (is_met or is_inside):
                left[event.id] = event
            elif not is_inside and event.start_us < start_us:
                left[event.id] = replace(event, duration_us=start_us - event.start_us)
                if event.end_us > end_us:
                    behind.append(Sent(end_us, event.end_us - end_us, event.data))
            elif not is_inside:
                left[event.id] = replace(event, start_us=end_us, duration_us=event.end_us - end_us)
        counts = len(bucket.events) - len(left), sum(bucket.events[each] != left[each] for each in left)
        new = sorted((event for event in held if event.id not in left), key=lambda event: event.id)
        assert {event.id: event for event in held if event.id in left} == left
        bucket.events = left
        for event in new:
            sent = next(each for each in behind if event.holds(each))
            behind.remove(sent)
            self._is_new(bucket, event, sent)
        assert not behind, "what is behind the range stays"
        return counts

    def take_filters(
        self, name: str, dropped: JsonObject, redacted: JsonObject, replacement: JsonObject
    ) -> tuple[int, int]:
        """Privacy filters are applied to a bucket: how many events are dropped and redacted."""
        bucket = self.buckets[name]
        before = bucket.events
        bucket.events = {
            event.id: replace(event, data=replacement) if text_of(event.data) == text_of(redacted) else event
            for event in before.values()
            if text_of(event.data) != text_of(dropped)
        }
        changed = sum(before[each] != event for each, event in bucket.events.items())
        return len(before) - len(bucket.events), changed

    def _is_new(self, bucket: Bucket, told: Stored, sent: Sent) -> None:
        assert told.holds(sent)
        assert 1 <= told.id < 2**53
        assert told.id not in self.ids_given, "an id is for ever"
        assert told.id > max(bucket.events, default=0), "ids ascend in the order of arrival"
        self.ids_given.add(told.id)
        bucket.events[told.id] = told


# The wire

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def on_the_wire(event: Stored) -> JsonObject:
    """The event as section 2 wants it written."""
    return {
        "id": event.id,
        "timestamp": (_EPOCH + timedelta(microseconds=event.start_us)).isoformat(),
        "duration": event.duration_us / 1_000_000,
        "data": event.data,
    }
