"""The model tells right from wrong: each kind of loss, surplus and half-done work is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.load import FIRST_US, SECOND_US, Load, Shared
from tests.faults.model import (
    Answer,
    Bucket,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    Event,
    Heartbeat,
    Ids,
    Import,
    Insert,
    World,
    difference,
    observed_bucket,
)

FIELDS: dict[str, Any] = {"type": "t", "client": "c", "hostname": "h", "name": None, "data": {}, "created": FIRST_US}


def event(second: float, duration: float = 0, data: str = '{"s": 1}') -> Event:
    return Event(FIRST_US + round(second * SECOND_US), round(duration * SECOND_US), data)


def world(*events: Event) -> World:
    return World({"b": Bucket(dict(FIELDS), dict(enumerate(events, 1)))}, {"key": [1]})


def beat(known: World, second: float, pulsetime: float = 10, data: str = '{"s": 1}') -> tuple[int, float, float]:
    """The id, start and duration (s) of the event that the model stores or extends, as the contract's table shows it."""
    bucket = known.buckets["b"]
    operation = Heartbeat("b", event(second, data=data), round(pulsetime * SECOND_US))
    merged = operation.merged(bucket)
    new_id = max(bucket.events, default=0) + 1
    event_id, stored = next(iter(merged.items())) if merged else (new_id, operation.event)
    operation.happen(known, Answer(200, stored.on_the_wire() | {"id": event_id}))
    after = known.buckets["b"].events[event_id]
    return event_id, (after.start_us - FIRST_US) / SECOND_US, after.duration_us / SECOND_US


def test_heartbeats_follow_the_table_of_the_contract():
    known = world()
    table = [(0, 0), (7, 7), (17, 17), (5, 17)]
    for second, duration in table:
        assert beat(known, second) == (1, 0, duration)
    assert beat(known, -60) == (2, -60, 0)
    assert beat(known, -60) == (2, -60, 0)
    assert beat(known, 20) == (1, 0, 20)
    assert beat(known, 21, data='{"s": 2}') == (3, 21, 0)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (world(event(1)), "missing"),
        (world(event(1), event(2), event(2)), "not expected"),
        (world(event(1), event(2, 1)), "should be"),
        (World(world(event(1), event(2)).buckets, {}), "settings"),
        (World({}, {"key": [1]}), "buckets"),
        (World({"b": Bucket(FIELDS | {"type": "u"}, {1: event(1), 2: event(2)})}, {"key": [1]}), "expected"),
    ],
)
def test_each_difference_is_found(found, word):
    expected = world(event(1), event(2))
    assert difference(expected, world(event(1), event(2))) == ""
    assert difference(expected, found) != ""
    assert word in difference(expected, found) or "should be" in difference(expected, found)


def test_an_event_of_unknown_id_stands_for_exactly_one():
    expected = world(event(1))
    Insert("b", ((None, event(5)), (None, event(5)))).happen(expected, None)
    assert difference(expected, world(event(1), event(5), event(5))) == ""
    assert "missing" in difference(expected, world(event(1), event(5)))
    assert "not expected" in difference(expected, world(event(1), event(5), event(5), event(5)))


def undecided(operation, found: World) -> str:
    """What a writer says that owned one event when its last request was undecided."""
    writer = Load(0, writers=1).writers[0]
    writer.world, writer.undecided = world(event(1)), operation
    return writer.check(found)


def test_an_undecided_request_is_there_or_not_but_never_half():
    batch = Insert("b", ((None, event(5)), (None, event(6))))
    assert undecided(batch, world(event(1))) == "without"
    assert undecided(batch, world(event(1), event(5), event(6))) == "with"
    with pytest.raises(AssertionError, match="neither"):
        undecided(batch, world(event(1), event(5)))
    document = Import((("b", FIELDS, (event(1), event(2))), ("c", FIELDS, ())))
    with pytest.raises(AssertionError, match="neither"):
        undecided(document, world(event(1), event(2)))
    assert undecided(DeleteBucket("b"), World({}, {"key": [1]})) == "with"
    assert undecided(DeleteEvent("b", 1), world()) == "with"


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (CreateBucket("b", FIELDS), Answer(200, {})),
        (CreateBucket("c", FIELDS), Answer(304, None)),
        (DeleteEvent("b", 1), Answer(200, {"success": False})),
        (DeleteEvent("b", 2), Answer(200, {"success": True})),
        (Insert("b", ((None, event(5)),)), Answer(200, [event(5).on_the_wire() | {"id": 1}])),
        (Insert("b", ((1, event(5)),)), Answer(200, [event(5).on_the_wire() | {"id": 2}])),
        (Insert("b", ((None, event(5)), (None, event(6)))), Answer(200, [event(5).on_the_wire() | {"id": 2}])),
        (Heartbeat("b", event(2), SECOND_US), Answer(200, event(2).on_the_wire() | {"id": 2})),
        (Heartbeat("b", event(9), SECOND_US), Answer(200, event(1, 8).on_the_wire() | {"id": 1})),
    ],
)
def test_a_wrong_answer_is_found(operation, answer):
    with pytest.raises(AssertionError):
        operation.happen(world(event(1)), answer)


def test_an_id_is_given_once():
    ids = Ids()
    ids.learn([1, 2], "a")
    with pytest.raises(AssertionError, match="was given before"):
        ids.learn([2], "b")


def test_a_bucket_whose_span_does_not_fit_its_events_is_found():
    value: dict[str, Any] = {"id": "b", "type": "t", "client": "c", "hostname": "h", "name": None, "data": {}}
    value |= {"created": "2024-05-01T10:00:00+00:00", "metadata": {"start": None, "end": None}}
    assert observed_bucket(value, []).events == {}
    with pytest.raises(AssertionError, match="are not"):
        observed_bucket(value, [event(1).on_the_wire() | {"id": 1}])


def shared(inserts: dict[int, Event], beats: dict[int, Event]) -> None:
    """Checks these buckets after: event 1 acknowledged, a batch of two undecided, a heartbeat acknowledged to 3 s."""
    state = Shared(inserted={1: event(1)}, undecided_batches=[[event(5), event(6)]])
    sent = [event(0), event(3), event(4)]
    state.beats_sent.update(sent)
    state.beats_acknowledged += sent[:2]
    state.beats_answered = {7: event(0, 3)}
    state.check(Bucket(FIELDS, inserts), Bucket(FIELDS, beats), Ids())


def test_shared_buckets_hold_what_was_acknowledged_and_nothing_else():
    shared({1: event(1)}, {7: event(0, 3)})
    shared({1: event(1), 2: event(5), 3: event(6)}, {7: event(0, 4)})


@pytest.mark.parametrize(
    ("inserts", "beats", "words"),
    [
        ({}, {7: event(0, 3)}, "None, not"),
        ({1: event(1), 2: event(5)}, {7: event(0, 3)}, "half of a batch"),
        ({1: event(1), 2: event(9)}, {7: event(0, 3)}, "never sent"),
        ({1: event(1), 2: event(5), 3: event(6), 4: event(6)}, {7: event(0, 3)}, "there twice"),
        ({1: event(1)}, {}, "is gone"),
        ({1: event(1)}, {7: event(0, 2)}, "was acknowledged to"),
        ({1: event(1)}, {7: event(0, 3.5)}, "nothing that ends"),
        ({1: event(1)}, {7: event(0, 3), 8: event(2)}, "nothing that begins"),
    ],
)
def test_a_loss_in_a_shared_bucket_is_found(inserts, beats, words):
    with pytest.raises(AssertionError, match=words):
        shared(inserts, beats)
