"""What awlog holds, as a few dictionaries: the contract's rules in their shortest form, to compare a server with.

An *operation* is one write request. `happen` changes a `World` as the server must; given the server's answer it checks
it and takes the new ids from it. Without an answer (undecided, or an import, which tells no ids) new events get a
stand-in id below zero, which `difference` lets stand for any id.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_stand_ins = itertools.count(-1, -1)


def iso(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat()


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


class Event(NamedTuple):
    start_us: int
    duration_us: int
    data: str  # canonical JSON

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us

    def on_the_wire(self) -> dict[str, Any]:
        return {"timestamp": iso(self.start_us), "duration": self.duration_us / 1e6, "data": json.loads(self.data)}


def received(event: dict[str, Any]) -> tuple[int, Event]:
    """An event as a server writes it, with its id."""
    duration_us = round(event["duration"] * 1e6)
    return event["id"], Event(micros(event["timestamp"]), duration_us, canonical(event["data"]))


@dataclass
class Bucket:
    fields: dict[str, Any]  # type, client, hostname, name, data, created (µs)
    events: dict[int, Event] = field(default_factory=dict)
    fresh: list[int] = field(default_factory=list, compare=False)  # ids put since somebody last looked
    has_stand_ins: bool = False
    _tail_id: int | None = None

    def copy(self) -> Bucket:
        return Bucket(dict(self.fields), dict(self.events), [], self.has_stand_ins, self._tail_id)

    def tail(self) -> tuple[int, Event] | None:
        if not self.events:
            return None
        if self._tail_id is None:
            self._tail_id = max(self.events, key=lambda event_id: (self.events[event_id].start_us, event_id))
        return self._tail_id, self.events[self._tail_id]

    def put(self, event_id: int, event: Event) -> None:
        tail = self.tail()
        if tail is None or event_id == tail[0]:
            self._tail_id = None
        elif (event.start_us, event_id) > (tail[1].start_us, tail[0]):
            self._tail_id = event_id
        if event_id not in self.events:
            self.fresh.append(event_id)
            self.has_stand_ins = self.has_stand_ins or event_id < 0
        self.events[event_id] = event

    def remove(self, event_id: int) -> None:
        del self.events[event_id]
        self._tail_id = None


@dataclass
class World:
    """All that one writer owns."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def copy(self) -> World:
        return World({name: bucket.copy() for name, bucket in self.buckets.items()}, copy.deepcopy(self.settings))

    def holds(self, event_id: int) -> bool:
        return any(event_id in bucket.events for bucket in self.buckets.values())

    def take_fresh(self) -> dict[str, list[int]]:
        """The ids given since the last call, by bucket."""
        fresh = {name: [i for i in bucket.fresh if i > 0] for name, bucket in self.buckets.items() if bucket.fresh}
        for bucket in self.buckets.values():
            bucket.fresh = []
        return fresh


class Answer(NamedTuple):
    status: int
    value: Any


def expect(answer: Answer | None, status: int, value: Any = ...) -> None:
    """Raises AssertionError if there is an answer and it is another one."""
    if answer is not None:
        assert answer.status == status, f"answered {answer.status} {answer.value!r} instead of {status}"
        assert value is ... or canonical(answer.value) == canonical(value), f"answered {answer.value!r}, not {value!r}"


def taken_id(answer: dict[str, Any] | None, event: Event) -> int:
    """The id of `event`, which the server has just stored as new and answered with."""
    if answer is None:
        return next(_stand_ins)
    event_id, stored = received(answer)
    assert stored == event, f"answered {stored} for {event}"
    return event_id


@dataclass(frozen=True)
class Operation:
    """One write request of a client."""

    def request(self) -> tuple[str, str, Any]:
        """Method, path below /api/0, JSON body or ... for none."""
        raise NotImplementedError

    def happen(self, world: World, answer: Answer | None) -> None:
        """Changes `world`. Raises AssertionError if the answer is not what the contract says."""
        raise NotImplementedError


@dataclass(frozen=True)
class CreateBucket(Operation):
    bucket: str
    fields: dict[str, Any]

    def request(self) -> tuple[str, str, Any]:
        return (
            "POST",
            f"/buckets/{quote(self.bucket, safe='')}",
            {**self.fields, "created": iso(self.fields["created"])},
        )

    def happen(self, world: World, answer: Answer | None) -> None:
        if self.bucket in world.buckets:
            expect(answer, 304)
            return
        expect(answer, 200, {})
        world.buckets[self.bucket] = Bucket(dict(self.fields))


@dataclass(frozen=True)
class OnBucket(Operation):
    """An operation on one bucket: 404 if it is not there."""

    bucket: str

    def path(self, rest: str = "") -> str:
        return f"/buckets/{quote(self.bucket, safe='')}{rest}"

    def happen(self, world: World, answer: Answer | None) -> None:
        if self.bucket not in world.buckets:
            expect(answer, 404)
        else:
            self.happen_in(world.buckets[self.bucket], answer)

    def happen_in(self, bucket: Bucket, answer: Answer | None) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class UpdateBucket(OnBucket):
    changes: dict[str, Any]

    def request(self) -> tuple[str, str, Any]:
        return "PUT", self.path(), self.changes

    def happen_in(self, bucket: Bucket, answer: Answer | None) -> None:
        expect(answer, 200, {})
        bucket.fields.update(self.changes)


@dataclass(frozen=True)
class DeleteBucket(OnBucket):
    def request(self) -> tuple[str, str, Any]:
        return "DELETE", self.path("?force=1"), ...

    def happen(self, world: World, answer: Answer | None) -> None:
        expect(answer, 200 if self.bucket in world.buckets else 404)
        world.buckets.pop(self.bucket, None)


@dataclass(frozen=True)
class Heartbeat(OnBucket):
    event: Event
    pulsetime_us: int

    def request(self) -> tuple[str, str, Any]:
        pulsetime = f"{self.pulsetime_us / 1e6:.6f}"
        return "POST", self.path(f"/heartbeat?pulsetime={pulsetime}"), self.event.on_the_wire()

    def happen_in(self, bucket: Bucket, answer: Answer | None) -> None:
        expect(answer, 200)
        value = answer.value if answer else None
        known = self.merged(bucket)
        if known is None:
            bucket.put(taken_id(value, self.event), self.event)
            return
        if value is not None:
            assert received(value) in known.items(), f"{value} is none of {known}"
        for event_id, event in known.items():
            bucket.put(event_id, event)

    def merged(self, bucket: Bucket) -> dict[int, Event] | None:
        """The event that this heartbeat becomes a part of, with its id; None: it is an event of its own.

        Several, if several cover it already: which of them is the answer is not fixed by the contract.
        """
        tail, beat = bucket.tail(), self.event
        if tail is None:
            return None
        tail_id, last = tail
        if last.data == beat.data and last.start_us <= beat.start_us <= last.end_us + self.pulsetime_us:
            return {tail_id: last._replace(duration_us=max(last.duration_us, beat.end_us - last.start_us))}
        if beat.start_us <= last.start_us:
            covering = {
                event_id: e
                for event_id, e in bucket.events.items()
                if e.data == beat.data and e.start_us <= beat.start_us and e.end_us >= beat.end_us
            }
            return covering or None
        return None


@dataclass(frozen=True)
class Insert(OnBucket):
    """POST of events: a list, or a single object. Ids that name an event of this bucket replace it."""

    events: tuple[tuple[int | None, Event], ...]
    single: bool = False

    def request(self) -> tuple[str, str, Any]:
        bodies = [event.on_the_wire() | ({} if i is None else {"id": i}) for i, event in self.events]
        return "POST", self.path("/events"), bodies[0] if self.single else bodies

    def happen_in(self, bucket: Bucket, answer: Answer | None) -> None:
        expect(answer, 200)
        values: list[Any] = [None] * len(self.events)
        if answer is not None:
            values = [answer.value] if self.single else answer.value
            assert len(values) == len(self.events), f"{len(self.events)} events sent, {len(values)} answered"
        new_ids = []
        for (sent_id, event), value in zip(self.events, values, strict=True):
            if sent_id is not None and sent_id in bucket.events:
                assert value is None or received(value) == (sent_id, event), f"{value} for {event} with id {sent_id}"
                bucket.put(sent_id, event)
            else:
                event_id = taken_id(value, event)
                assert event_id not in bucket.events, f"the new event {event} got the id of another, {event_id}"
                bucket.put(event_id, event)
                new_ids.append(event_id)
        if answer is not None:
            assert new_ids == sorted(new_ids), f"ids are not given in the order of arrival: {new_ids}"


@dataclass(frozen=True)
class DeleteEvent(OnBucket):
    event_id: int

    def request(self) -> tuple[str, str, Any]:
        return "DELETE", self.path(f"/events/{self.event_id}"), ...

    def happen_in(self, bucket: Bucket, answer: Answer | None) -> None:
        there = self.event_id in bucket.events
        expect(answer, 200, {"success": there})
        if there:
            bucket.remove(self.event_id)


@dataclass(frozen=True)
class Import(Operation):
    """Buckets with their events: made if they are missing, else given the events that they do not hold yet."""

    buckets: tuple[tuple[str, dict[str, Any], tuple[Event, ...]], ...]

    def request(self) -> tuple[str, str, Any]:
        documents = {
            name: {
                **fields,
                "id": name,
                "created": iso(fields["created"]),
                "events": [event.on_the_wire() for event in events],
            }
            for name, fields, events in self.buckets
        }
        return "POST", "/import", {"buckets": documents}

    def happen(self, world: World, answer: Answer | None) -> None:
        expect(answer, 200, None)
        for name, fields, events in self.buckets:
            held: set[Event] = set()
            if name in world.buckets:
                held = set(world.buckets[name].events.values())
            else:
                world.buckets[name] = Bucket(dict(fields))
            for event in events:
                if event not in held:
                    world.buckets[name].put(next(_stand_ins), event)


@dataclass(frozen=True)
class ChangeSetting(Operation):
    key: str
    value: Any  # None removes; ... removes by DELETE

    def request(self) -> tuple[str, str, Any]:
        return ("DELETE" if self.value is ... else "POST"), f"/settings/{quote(self.key, safe='')}", self.value

    def happen(self, world: World, answer: Answer | None) -> None:
        expect(answer, 200, {} if self.value is ... else self.value)
        if self.value is None or self.value is ...:
            world.settings.pop(self.key, None)
        else:
            world.settings[self.key] = self.value


def observed_bucket(value: dict[str, Any], events: list[dict[str, Any]]) -> Bucket:
    """A bucket as the server shows it. Raises AssertionError if its metadata do not fit its events."""
    stored = dict(received(event) for event in events)
    assert len(stored) == len(events), f"an id is there twice in {value['id']}"
    order = [(-event.start_us, event_id) for event_id, event in stored.items()]
    assert order == sorted(order), f"{value['id']} is not in the order of the contract"
    start = iso(min(e.start_us for e in stored.values())) if stored else None
    end = iso(max(e.end_us for e in stored.values())) if stored else None
    assert value["metadata"] == {"start": start, "end": end}, f"{value['metadata']} are not {start} and {end}"
    assert value.get("last_updated") == end, f"last_updated is {value.get('last_updated')}, not {end}"
    names = ("type", "client", "hostname", "name", "data")
    return Bucket({name: value[name] for name in names} | {"created": micros(value["created"])}, stored)


def difference(expected: World, observed: World) -> str:
    """Empty if they are equal, stand-in ids aside; else what differs first, for people."""
    if expected.settings != observed.settings:
        return f"settings: expected {expected.settings}, found {observed.settings}"
    if expected.buckets.keys() != observed.buckets.keys():
        return f"buckets: expected {sorted(expected.buckets)}, found {sorted(observed.buckets)}"
    for name, bucket in expected.buckets.items():
        found = observed.buckets[name]
        if found is bucket:
            continue
        if bucket.fields != found.fields:
            return f"{name}: expected {bucket.fields}, found {found.fields}"
        known = {event_id: event for event_id, event in bucket.events.items() if event_id > 0}
        for event_id, event in known.items():
            if found.events.get(event_id) != event:
                return f"{name}: event {event_id} should be {event}, is {found.events.get(event_id)}"
        hoped = Counter(event for event_id, event in bucket.events.items() if event_id < 0)
        extra = Counter(event for event_id, event in found.events.items() if event_id not in known)
        if hoped != extra:
            return (
                f"{name}: missing {_few((hoped - extra).elements())}, not expected {_few((extra - hoped).elements())}"
            )
    return ""


def _few(events: Iterable[Event]) -> str:
    found = list(events)
    return f"{len(found)} events {found[:3]}"


class Ids:
    """Every id ever seen. An id belongs to one event of one bucket, for ever."""

    def __init__(self) -> None:
        self.owner: dict[int, str] = {}
        self.given: list[int] = []
        self._lock = threading.Lock()

    def learn(self, event_ids: Iterable[int], bucket: str) -> None:
        """Raises AssertionError if one of these new ids was given before."""
        with self._lock:
            for event_id in event_ids:
                before = self.owner.get(event_id)
                assert before is None, f"{event_id}, new in {bucket}, was given before, in {before}"
                self.owner[event_id] = bucket
                self.given.append(event_id)
