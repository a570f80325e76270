"""history.py finds an order where there is one, and says so where there is none."""

from __future__ import annotations

import pytest

from tests.faults.history import NoOrderError, Step, find_order, read_count, read_events, read_setting
from tests.faults.model import Answer, Bucket, ChangeSetting, Event, Heartbeat, Insert, Operation, World

A, B = Event(0, 0, "{}"), Event(5, 0, "{}")


def empty() -> World:
    return World({"b": Bucket({"type": "t"})})


def step(operation: Operation, value: object, sent: int, answered: int) -> Step:
    return Step(operation, Answer(200, value), sent, answered)


def shown(event: Event, event_id: int) -> dict[str, object]:
    return event.on_the_wire() | {"id": event_id}


def insert(event: Event, event_id: int, sent: int, answered: int) -> Step:
    return step(Insert("b", ((None, event),), single=True), shown(event, event_id), sent, answered)


def test_a_read_beside_a_write_may_show_it_or_not():
    for count in (0, 1):
        history = [insert(A, 1, 0, 10), step(read_count("b"), count, 2, 5)]
        assert len(find_order(empty(), history)) == 2


def test_a_read_after_the_answer_must_show_the_write():
    with pytest.raises(NoOrderError):
        find_order(empty(), [insert(A, 1, 0, 10), step(read_count("b"), 0, 11, 12)])


def test_a_read_before_the_request_cannot_show_the_write():
    with pytest.raises(NoOrderError):
        find_order(empty(), [insert(A, 1, 10, 20), step(read_count("b"), 1, 1, 5)])


def test_two_reads_one_after_the_other_do_not_go_back():
    writes = [insert(A, 1, 0, 100)]
    forth = [step(read_count("b"), 0, 1, 10), step(read_count("b"), 1, 11, 20)]
    back = [step(read_count("b"), 1, 1, 10), step(read_count("b"), 0, 11, 20)]
    assert find_order(empty(), writes + forth)
    with pytest.raises(NoOrderError):
        find_order(empty(), writes + back)


def test_two_readers_do_not_see_two_writes_in_two_orders():
    writes = [insert(A, 1, 0, 100), insert(B, 2, 0, 100)]
    one = step(read_events("b"), [shown(A, 1)], 1, 50)
    other = step(read_events("b"), [shown(B, 2)], 1, 50)
    assert find_order(empty(), [*writes, one])
    assert find_order(empty(), [*writes, other])
    with pytest.raises(NoOrderError):
        find_order(empty(), [*writes, one, other])


def test_an_answer_that_no_state_gives_is_found():
    beat = Heartbeat("b", Event(5, 0, "{}"), 10)
    merged = shown(Event(0, 5, "{}"), 1)
    assert find_order(empty(), [insert(A, 1, 0, 10), step(beat, merged, 5, 20)])
    with pytest.raises(NoOrderError):
        find_order(empty(), [insert(A, 1, 30, 40), step(beat, merged, 5, 20)])


def test_the_search_steps_back():
    """The first choice that fits here and now is wrong later: both settings were written at once."""
    writes = [step(ChangeSetting("k", value), value, 0, 10) for value in (1, 2, 3)]
    for last in (1, 2, 3):
        assert find_order(World(), [*writes, step(read_setting("k"), last, 20, 30)])
    with pytest.raises(NoOrderError, match="shows"):
        find_order(World(), [*writes, step(read_setting("k"), 4, 20, 30)])
