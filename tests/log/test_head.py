"""The head against a plain dict of records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.head import RECORD_BYTES, Head
from awlog.model.event import Event, Seq
from tests.log.events import (
    PAYLOADS,
    close_events,
    close_starts,
    event,
    in_reading_order,
    meeting,
    short_durations,
    youngest,
)

seqs = st.integers(1, 12)
records = st.builds(event, seqs, close_starts, short_durations, st.sampled_from(PAYLOADS))
steps = st.lists(
    st.tuples(st.just("put"), records)
    | st.tuples(st.just("remove"), seqs)
    | st.tuples(st.just("put_all"), st.lists(records, max_size=6, unique_by=lambda one: one.seq))
    | st.tuples(st.just("remove_all"), st.sets(seqs))
    | st.tuples(st.just("read"), st.none()),
    max_size=16,
)


def taken(head: Head, model: dict[Seq, Event], step: str, given_value: object) -> None:
    """One step on both; what a head does not take (a bulk put of known seqs, a removal of unknown ones) is left out."""
    match step, given_value:
        case "put", Event() as one:
            head.put(one)
            model[one.seq] = one
        case "remove", int(seq):
            if seq in model:
                head.remove(Seq(seq))
                del model[Seq(seq)]
        case "put_all", list(several):
            new = [one for one in several if one.seq not in model]
            head.put_all(new)
            model.update((one.seq, one) for one in new)
        case "remove_all", set(several):
            known = [seq for seq in several if seq in model]
            head.remove_all(known)
            for seq in known:
                del model[seq]
        case "read", None:
            assert head.youngest() == youngest(list(model.values()))


@given(steps, st.lists(st.tuples(close_starts, close_starts), min_size=1, max_size=4))
def test_a_head_says_what_a_plain_list_says(
    taken_steps: list[tuple[str, object]], ranges: list[tuple[int, int]]
) -> None:
    """After any steps: reads in their order, the youngest record, the least start, the greatest end, the oldest records."""
    head: Head = Head()
    model: dict[Seq, Event] = {}
    for step, value in taken_steps:
        taken(head, model, step, value)
        held = list(model.values())
        assert len(head) == len(held)
        assert sorted(head, key=lambda one: one.seq) == sorted(held, key=lambda one: one.seq)
        assert head.youngest() == youngest(held)
        assert head.count_from(3) == sum(one.start_us >= 3 for one in held)
        assert head.min_start_us() == min((one.start_us for one in held), default=None)
        assert head.max_end_us() == max((one.end_us for one in held), default=None)
        assert head.size_bytes == sum(RECORD_BYTES + len(one.payload) for one in held)
    for start_us, end_us in ranges:
        assert list(head.newest_first(start_us, end_us)) == meeting(model.values(), start_us, end_us)
    for seq in range(1, 13):
        assert head.get(Seq(seq)) == model.get(Seq(seq))
    assert head.oldest(5) == sorted(model.values(), key=lambda one: one.seq)[:5]


@given(close_events(), close_starts, close_starts)
def test_one_by_one_and_in_bulk_a_head_becomes_the_same(events: list[Event], start_us: int, end_us: int) -> None:
    """`put_all` is only the faster way."""
    bulk, single = Head(), Head()
    bulk.put_all(iter(events))
    for one in events:
        single.put(one)
    assert list(bulk.newest_first(start_us, end_us)) == list(single.newest_first(start_us, end_us))
    assert bulk.youngest() == single.youngest()
    assert bulk.max_end_us() == single.max_end_us()


@pytest.mark.parametrize(
    ("start_us", "end_us", "seqs_found"),
    [
        (0, 100, [4, 2, 3, 1]),
        (15, 15, [1]),
        (10, 10, [1]),
        (11, 11, [1]),
        (20, 20, [2, 3, 1]),
        (21, 29, [2, 1]),
        (25, 25, [2, 1]),
        (26, 29, [1]),
        (30, 30, [4, 1]),
        (40, 50, [1]),
        (41, 50, [1]),
        (51, 60, []),
        (0, 9, []),
    ],
)
def test_a_read_finds_what_meets_the_range_with_both_ends_inside(
    start_us: int, end_us: int, seqs_found: list[int]
) -> None:
    """A long record that began far back is found; equal starts come in the order of arrival."""
    head = Head()
    head.put_all([event(1, 10, 40), event(2, 20, 5), event(3, 20, 0), event(4, 30, 0)])
    assert [one.seq for one in head.newest_first(start_us, end_us)] == seqs_found


def test_putting_a_known_seq_replaces_the_record() -> None:
    """Its old start, payload and length are gone."""
    head = Head()
    head.put(event(1, 10, 100))
    head.put(event(1, 50, 5))
    assert len(head) == 1
    assert list(head.newest_first(0, 49)) == []
    assert list(head.newest_first(50, 50)) == [event(1, 50, 5)]
    assert head.max_end_us() == 55


def test_the_oldest_records_are_those_with_the_least_seqs() -> None:
    """By arrival, whatever their starts; at most as many as asked for."""
    head = Head()
    head.put_all([event(3, 1), event(1, 9), event(2, 5)])
    assert [one.seq for one in head.oldest(2)] == [1, 2]
    assert [one.seq for one in head.oldest(9)] == [1, 2, 3]
    assert Head().oldest(5) == []


def test_a_head_refuses_to_add_a_known_seq_in_bulk() -> None:
    """That would leave two places for one record in the order."""
    head = Head()
    head.put(event(1, 10))
    with pytest.raises(AssertionError):
        head.put_all([event(1, 20)])


def test_records_come_in_reading_order_when_many_share_a_start() -> None:
    """Clients cut timestamps to milliseconds: ties come back in the order of arrival."""
    head = Head()
    events = [event(seq, 7) for seq in (5, 2, 9, 1)]
    head.put_all(events)
    assert list(head.newest_first(7, 7)) == in_reading_order(events)
    assert head.youngest() == event(9, 7)
