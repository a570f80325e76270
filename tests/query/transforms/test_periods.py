"""filter_period_intersect, period_union and union_no_overlap: touching, empty and overlapping periods."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from awlog.query.events import EventList, Payloads, no_events
from awlog.query.transforms import filter_period_intersect, flood, period_union, union_no_overlap
from awlog.query.transforms.period_intersect import intersect_by_fingers
from tests.query.transforms.lists import MS, made, rows, seconds, spans

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES", "2000"))


@pytest.mark.parametrize(
    ("events", "filters", "parts"),
    [
        ([(0, 10, "x")], [], []),
        ([], [(0, 10, None)], []),
        ([(0, 10, "x")], [(2, 8, None)], [(2, 8, "x")]),
        ([(2, 8, "x")], [(0, 10, None)], [(2, 8, "x")]),
        ([(0, 10, "x")], [(5, 15, None)], [(5, 10, "x")]),
        ([(5, 15, "x")], [(0, 10, None)], [(5, 10, "x")]),
        ([(0, 10, "x")], [(0, 10, None)], [(0, 10, "x")]),
        # Touching is no overlap where both have some length.
        ([(0, 10, "x")], [(10, 20, None)], []),
        # Events without length: inside, at an edge, outside.
        ([(5, 5, "x")], [(0, 10, None)], [(5, 5, "x")]),
        ([(0, 0, "x")], [(0, 10, None)], [(0, 0, "x")]),
        ([(10, 10, "x")], [(0, 10, None)], [(10, 10, "x")]),
        ([(11, 11, "x")], [(0, 10, None)], []),
        # The filter's events without length give pieces without length.
        ([(0, 10, "x")], [(5, 5, None)], [(5, 5, "x")]),
        # Several pieces of one event, several events in one filter.
        ([(0, 10, "x")], [(1, 2, None), (3, 4, None)], [(1, 2, "x"), (3, 4, "x")]),
        ([(1, 2, "x"), (3, 4, "y")], [(0, 10, None)], [(1, 2, "x"), (3, 4, "y")]),
        # Both are sorted first.
        ([(3, 4, "y"), (1, 2, "x")], [(3, 10, None), (0, 2, None)], [(1, 2, "x"), (3, 4, "y")]),
        # The finger never goes back: the long first event keeps the others from their share.
        ([(0, 10, "x"), (1, 2, "y")], [(0, 3, None), (4, 5, None)], [(0, 3, "x"), (4, 5, "x")]),
    ],
)
def test_the_parts_of_events_within_others(events: list[Any], filters: list[Any], parts: list[Any]) -> None:
    payloads = Payloads()
    assert spans(filter_period_intersect(seconds(payloads, events), seconds(payloads, filters))) == parts


def test_the_parts_keep_data_and_ids() -> None:
    payloads = Payloads()
    events = made(payloads, [(0, 10, {"a": True}, 77)])
    filters = made(payloads, [(1, 2, {"b": 1}, 5), (4, 2, {}, 6)])
    assert rows(filter_period_intersect(events, filters)) == [(1, 2, {"a": True}, 77), (4, 2, {"a": True}, 77)]


def random_list(payloads: Payloads, rng: random.Random, count: int, *, plain: bool) -> EventList:
    """Plain: ascending, without overlaps and zero lengths."""
    stored: list[tuple[int, int, dict[str, Any]]] = []
    at = rng.randrange(0, 5)
    for i in range(count):
        if plain:
            duration = rng.randrange(1, 5)
            stored.append((at, duration, {"a": i % 3}))
            at += duration + rng.choice((0, 0, 1, 3))
        else:
            stored.append((rng.randrange(0, 2 * count), rng.randrange(0, 5), {"a": i % 3}))
    return made(payloads, stored)


@pytest.mark.parametrize("plain", [True, False])
def test_all_pairs_at_once_are_what_two_fingers_find(plain: bool) -> None:
    """The shortcut is taken for flooded lists, and only for such."""
    for number in range(EXAMPLES // 2):
        rng = random.Random(number)
        payloads = Payloads()
        events = random_list(payloads, rng, rng.randrange(0, 30), plain=plain or number % 2 == 0)
        filters = random_list(payloads, rng, rng.randrange(0, 30), plain=plain)
        expected = intersect_by_fingers(events.by_start(), filters.by_start())
        assert rows(filter_period_intersect(events, filters)) == rows(expected), f"seed {number}"


@pytest.mark.parametrize(
    ("events", "others", "runs"),
    [
        ([], [], []),
        ([(0, 10)], [], [(0, 10)]),
        ([], [(0, 10)], [(0, 10)]),
        ([(0, 10)], [(5, 15)], [(0, 15)]),
        ([(0, 10)], [(10, 20)], [(0, 20)]),
        ([(0, 10)], [(10.001, 20)], [(0, 10), (10.001, 20)]),
        ([(0, 10)], [(2, 3)], [(0, 10)]),
        ([(0, 0)], [(0, 0)], [(0, 0)]),
        ([(0, 10), (20, 30)], [(10, 20)], [(0, 30)]),
        ([(20, 30), (0, 10)], [(40, 50)], [(0, 10), (20, 30), (40, 50)]),
        # A short event does not end the run of a long one.
        ([(0, 100), (1, 2)], [(50, 60), (99, 101)], [(0, 101)]),
    ],
)
def test_the_time_that_either_covers(events: list[Any], others: list[Any], runs: list[Any]) -> None:
    """Overlapping and touching events make a run; data are gone."""
    payloads = Payloads()
    ours = period_union(
        seconds(payloads, [(*span, "x") for span in events]), seconds(payloads, [(*span, "y") for span in others])
    )
    assert spans(ours) == [(*run, None) for run in runs]
    assert all(data == {} for _, _, data, _ in rows(ours))


def test_a_run_has_the_id_of_its_first_event_of_the_first_list() -> None:
    payloads = Payloads()
    events, others = made(payloads, [(0, 5, {}, 2), (100, 1, {}, 3)]), made(payloads, [(0, 9, {}, 1), (9, 1, {}, 4)])
    assert rows(period_union(events, others)) == [(0, 10, {}, 2), (100, 1, {}, 3)]


def test_what_was_given_to_period_union_keeps_its_data() -> None:
    """Section 9: there the caller's events lose theirs, and a query goes on with them."""
    payloads = Payloads()
    windows = seconds(payloads, [(0, 1, "x")])
    period_union(windows, windows)
    assert spans(windows) == [(0, 1, "x")]


@pytest.mark.parametrize(
    ("events", "others", "union"),
    [
        ([], [(0, 10, "b")], [(0, 10, "b")]),
        ([(0, 10, "a")], [], [(0, 10, "a")]),
        ([(0, 10, "a")], [(2, 8, "b")], [(0, 10, "a")]),
        ([(2, 8, "a")], [(0, 10, "b")], [(0, 2, "b"), (2, 8, "a"), (8, 10, "b")]),
        ([(0, 10, "a")], [(5, 15, "b")], [(0, 10, "a"), (10, 15, "b")]),
        ([(5, 15, "a")], [(0, 10, "b")], [(0, 5, "b"), (5, 15, "a")]),
        ([(0, 10, "a")], [(10, 20, "b")], [(0, 10, "a"), (10, 20, "b")]),
        ([(0, 10, "a")], [(0, 10, "b")], [(0, 10, "a")]),
        (
            [(2, 3, "a"), (5, 6, "a")],
            [(0, 10, "b")],
            [(0, 2, "b"), (2, 3, "a"), (3, 5, "b"), (5, 6, "a"), (6, 10, "b")],
        ),
        # Without length: at an edge it counts as overlapping and is dropped.
        ([(0, 10, "a")], [(10, 10, "b")], [(0, 10, "a")]),
        ([(0, 10, "a")], [(5, 5, "b")], [(0, 10, "a")]),
        # As the steps say: what is left of `b` begins where `a` is, does not go on after it, and is dropped.
        ([(5, 5, "a")], [(0, 10, "b")], [(0, 5, "b"), (5, 5, "a")]),
        ([(5, 5, "a")], [(5, 5, "b")], [(5, 5, "a")]),
        # Newest first is taken as it comes, not sorted.
        ([(20, 30, "a"), (0, 10, "a")], [(0, 5, "b")], [(0, 5, "b"), (20, 30, "a"), (0, 10, "a")]),
        ([(0, 1, "a")], [(20, 30, "b"), (0, 10, "b")], [(0, 1, "a"), (20, 30, "b"), (0, 10, "b")]),
    ],
)
def test_the_second_list_fills_what_is_free(events: list[Any], others: list[Any], union: list[Any]) -> None:
    payloads = Payloads()
    assert spans(union_no_overlap(seconds(payloads, events), seconds(payloads, others))) == union


def test_both_halves_of_a_split_keep_the_id() -> None:
    payloads = Payloads()
    union = union_no_overlap(made(payloads, [(2000, 1000, {"a": 1}, 5)]), made(payloads, [(0, 9000, {"b": 1}, 6)]))
    assert [event_id for *_, event_id in rows(union)] == [6, 5, 6]


@pytest.mark.parametrize(("a_start_us", "rest_us"), [(0, (1 * MS, 8_500)), (1, (1501, 8_499))])
def test_the_rest_of_a_split_begins_at_a_whole_unit(a_start_us: int, rest_us: tuple[int, int]) -> None:
    """1.5 ms is cut to 1 ms among whole milliseconds; one start of 1 µs, in either list, keeps it exact."""
    payloads = Payloads()
    union = union_no_overlap(
        made(payloads, [(a_start_us, 1500, {"a": 1})]),
        made(payloads, [(a_start_us - a_start_us % MS, 10 * MS, {"b": 1})]),
    )
    *_, (start, duration, _, _) = rows(union)
    assert (start, duration) == rest_us


def test_nothing_with_nothing_is_nothing() -> None:
    nothing = no_events(Payloads())
    for empty in (flood(nothing), filter_period_intersect(nothing, nothing), union_no_overlap(nothing, nothing)):
        assert rows(empty) == []
    assert rows(period_union(nothing, nothing)) == []
