"""Reads over a whole bucket against a plain list of its events: `rest-api.md` section 7."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.history import count_events, events_newest_first
from awlog.model.event import Event
from awlog.model.facts import EventAppended
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from tests.log.events import close_events, close_starts, event, in_reading_order, meeting, rows
from tests.log.memory_store import NUMBER, MemoryStore, store_with

ALL_TIME = (TIME_MIN_US, TIME_MAX_US)
limits = st.none() | st.integers(0, 6) | st.just(1000)


# For each event its home: 0 the head, else one of three segments.
homes_of_events = st.lists(st.integers(0, 3), min_size=24, max_size=24)


def spread(events: list[Event], homes: list[int]) -> MemoryStore:
    """A bucket whose events lie in the tail record, the head and up to three segments, which overlap in time and seqs."""
    store = store_with(events)
    tail = store.bucket.tail
    for home in (1, 2, 3):
        seqs = [one.seq for one, its in zip(events, homes, strict=False) if its == home and one != tail]
        if seqs:
            store.seal(seqs)
    return store


def read(store: MemoryStore, start_us: int, end_us: int, count_max: int | None = None) -> list[Event]:
    return rows(list(events_newest_first(store.bucket, Micros(start_us), Micros(end_us), count_max, store.load)))


@given(close_events(), homes_of_events, close_starts, close_starts, limits)
def test_a_read_gives_what_meets_the_range_newest_first(
    events: list[Event], homes: list[int], start_us: int, end_us: int, count_max: int | None
) -> None:
    """Both ends inside, equal starts by arrival, the first `count_max` of that order; wherever the events live."""
    expected = meeting(events, start_us, end_us) if start_us <= end_us else []
    assert read(spread(events, homes), start_us, end_us, count_max) == expected[:count_max]


@given(close_events(), homes_of_events, close_starts, close_starts)
def test_a_count_is_the_length_of_the_read(events: list[Event], homes: list[int], start_us: int, end_us: int) -> None:
    """With and without an edge of the range in the history."""
    store = spread(events, homes)
    for since_us, until_us in ((start_us, end_us), (TIME_MIN_US, end_us), (start_us, TIME_MAX_US), ALL_TIME):
        count = count_events(store.bucket, Micros(since_us), Micros(until_us), store.load)
        assert count == len(read(store, since_us, until_us))


@given(close_events(), homes_of_events)
def test_all_time_is_everything(events: list[Event], homes: list[int]) -> None:
    """And counting it opens no segment."""
    store = spread(events, homes)
    assert read(store, *ALL_TIME) == in_reading_order(events)
    store.loaded.clear()
    assert count_events(store.bucket, *ALL_TIME, store.load) == len(events)
    assert read(store, *ALL_TIME, 0) == []
    assert store.loaded == []


def three_days() -> MemoryStore:
    """Three segments one after the other, of ten events each, then a head of two and the tail record."""
    events = [event(seq, 100 * seq, 50) for seq in range(1, 34)]
    return store_with(events, range(1, 11), range(11, 21), range(21, 31))


@pytest.mark.parametrize("count_max", [33, 34, 1 << 32, sys.maxsize])
def test_any_limit_beyond_the_events_means_all(count_max: int) -> None:
    """Section 7: any larger integer. Those that no machine word holds have become None at the edge."""
    assert len(read(three_days(), *ALL_TIME, count_max)) == 33


@pytest.mark.parametrize(("start_us", "end_us"), [(1, 0), (3200, 100), (TIME_MAX_US, TIME_MIN_US)])
def test_a_range_that_ends_before_it_begins_is_empty(start_us: int, end_us: int) -> None:
    """No event, none counted, no segment opened; even where a long event would reach over both ends."""
    store = three_days()
    assert read(store, start_us, end_us) == []
    assert count_events(store.bucket, Micros(start_us), Micros(end_us), store.load) == 0
    assert store.loaded == []


@pytest.mark.parametrize(
    ("start_us", "end_us", "count_max", "first_seqs"),
    [
        (*ALL_TIME, 1, []),
        (*ALL_TIME, 3, []),
        (*ALL_TIME, 4, [21]),
        (*ALL_TIME, 13, [21]),
        (*ALL_TIME, 14, [21, 11]),
        (*ALL_TIME, None, [21, 11, 1]),
        (3150, TIME_MAX_US, None, []),
        (1500, 1600, None, [11]),
        (1075, 1075, None, []),
        (1050, 1099, None, [1]),
        (TIME_MIN_US, 1099, 1, [1]),
        (3301, TIME_MAX_US, 1, []),
    ],
)
def test_only_segments_that_are_needed_are_opened(
    start_us: int, end_us: int, count_max: int | None, first_seqs: list[int]
) -> None:
    """Neither those outside the range nor those beyond the limit: "the newest event" opens none."""
    store = three_days()
    read(store, start_us, end_us, count_max)
    assert [entry.first_seq for entry in store.loaded] == first_seqs


@pytest.mark.parametrize(
    ("start_us", "end_us", "first_seqs"),
    [
        (*ALL_TIME, []),
        (TIME_MIN_US, 2_099, []),
        (TIME_MIN_US, 2_100, [21]),
        (TIME_MIN_US, 2_999, [21]),
        (TIME_MIN_US, 3_000, []),
        (100, 3_000, []),
        (101, 3_000, [1]),
        (100, 2_999, [21]),
        (1_500, 1_600, [11]),
        (3_051, TIME_MAX_US, []),
    ],
)
def test_segments_that_lie_in_the_range_are_counted_unopened(start_us: int, end_us: int, first_seqs: list[int]) -> None:
    """Only those at the edges are looked into."""
    store = three_days()
    expected = len(meeting(store.events(), start_us, end_us))
    store.loaded.clear()
    assert count_events(store.bucket, Micros(start_us), Micros(end_us), store.load) == expected
    assert [entry.first_seq for entry in store.loaded] == first_seqs


def test_history_is_read_one_segment_at_a_time() -> None:
    """A year streams in flat memory: the next segment is opened when the one before has been given."""
    store = three_days()
    chunks = events_newest_first(store.bucket, *ALL_TIME, None, store.load)
    assert store.loaded == []
    for opened in range(4):
        next(chunks)
        assert len(store.loaded) == opened
    assert next(chunks, None) is None


def test_a_read_shows_the_moment_at_which_it_was_asked() -> None:
    """What is appended and sealed while it is under way does not show."""
    store = store_with([event(1, 100), event(2, 200)])
    chunks = events_newest_first(store.bucket, *ALL_TIME, None, store.load)
    store.apply(EventAppended(NUMBER, event(3, 300)), EventAppended(NUMBER, event(4, 50)))
    store.seal([1, 2])
    assert [one.seq for one in rows(list(chunks))] == [2, 1]


def test_the_tail_record_stands_in_its_place_among_equal_starts() -> None:
    """It is the youngest, but of equal starts the first to arrive comes first."""
    store = store_with([event(1, 100), event(2, 100), event(3, 100), event(4, 50)], [1])
    assert store.bucket.tail == event(3, 100)
    assert [one.seq for one in read(store, *ALL_TIME)] == [1, 2, 3, 4]
    assert [one.seq for one in read(store, *ALL_TIME, 2)] == [1, 2]
    unsealed = store_with([event(1, 100), event(2, 100), event(3, 100), event(4, 50)])
    for count_max in range(5):
        assert [one.seq for one in read(unsealed, *ALL_TIME, count_max)] == [1, 2, 3, 4][:count_max]


def test_an_empty_bucket_reads_as_nothing() -> None:
    """And counts as nothing."""
    store = store_with()
    assert read(store, *ALL_TIME) == []
    assert count_events(store.bucket, *ALL_TIME, store.load) == 0
