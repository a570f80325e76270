"""flood: the cases of its table, one by one, then the vectorised path against the plain loop."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from awlog.query.events import Payloads
from awlog.query.transforms.flood import close_gaps, close_gaps_by_loop, flood
from tests.query.transforms.lists import MS, S, made, rows, seconds, spans

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES", "2000"))


@pytest.mark.parametrize(
    ("given", "flooded"),
    [
        ([], []),
        ([(0, 10, "x")], [(0, 10, "x")]),
        ([(0, 0, "x")], []),
        # No gap: nothing, equal data included.
        ([(0, 10, "x"), (10, 20, "x")], [(0, 10, "x"), (10, 20, "x")]),
        ([(0, 10, "x"), (10, 20, "y")], [(0, 10, "x"), (10, 20, "y")]),
        # A gap up to the pulse: equal data are joined into the longer, different data meet in the middle.
        ([(0, 10, "x"), (15, 20, "x")], [(0, 20, "x")]),
        ([(0, 3, "x"), (8, 20, "x")], [(0, 20, "x")]),
        ([(0, 10, "x"), (15, 20, "y")], [(0, 12.5, "x"), (12.5, 20, "y")]),
        # A gap beyond it stays.
        ([(0, 10, "x"), (15.001, 20, "x")], [(0, 10, "x"), (15.001, 20, "x")]),
        ([(0, 10, "x"), (15.001, 20, "y")], [(0, 10, "x"), (15.001, 20, "y")]),
        # Overlaps of equal data are joined, however large.
        ([(0, 10, "x"), (5, 20, "x")], [(0, 20, "x")]),
        ([(0, 30, "x"), (5, 20, "x")], [(0, 30, "x")]),
        # Overlaps of different data below 100 ms are halved.
        ([(0, 10, "x"), (9.902, 20, "y")], [(0, 9.951, "x"), (9.951, 20, "y")]),
        # From 100 ms on the later one wins; what the earlier one had after it is lost.
        ([(0, 10, "x"), (9.9, 20, "y")], [(0, 9.9, "x"), (9.9, 20, "y")]),
        ([(0, 30, "x"), (5, 20, "y")], [(0, 5, "x"), (5, 20, "y")]),
        # Three equal events with small gaps become two that touch, not one.
        ([(0, 10, "x"), (12, 20, "x"), (22, 30, "x")], [(0, 20, "x"), (20, 30, "x")]),
        # No data is data, too.
        ([(0, 10, None), (12, 20, None)], [(0, 20, None)]),
        # An event without length takes its half of a gap.
        ([(0, 10, "x"), (12, 12, "y")], [(0, 11, "x"), (11, 12, "y")]),
        # Newest first is sorted; equal starts by duration.
        ([(10, 20, "y"), (0, 10, "x")], [(0, 10, "x"), (10, 20, "y")]),
        ([(0, 10, "x"), (0, 5, "y")], [(0, 10, "x")]),
    ],
)
def test_a_pair_of_events(given: list[Any], flooded: list[Any]) -> None:
    """Seconds from start to end, and what the data hold."""
    assert spans(flood(seconds(Payloads(), given))) == flooded


@pytest.mark.parametrize("equal", [(1, True), (1.0, 1), ([0, {"k": 1}], [False, {"k": 1.0}]), (10**20, 1e20)])
def test_equal_data_are_joined_and_the_first_value_is_shown(equal: tuple[Any, Any]) -> None:
    """1, 1.0 and true are equal; each comes back as it went in."""
    first, second = equal
    ((_, _, shown),) = spans(flood(seconds(Payloads(), [(0, 10, first), (12, 20, second)])))
    assert repr(shown) == repr(first)


@pytest.mark.parametrize("different", [(1, "1"), (0, None), ([], {}), ([1, 2], [2, 1]), ("true", True)])
def test_different_data_meet_in_the_middle(different: tuple[Any, Any]) -> None:
    first, second = different
    flooded = spans(flood(seconds(Payloads(), [(0, 10, first), (12, 20, second)])))
    assert [repr(shown) for _, _, shown in flooded] == [repr(first), repr(second)]


def test_the_middle_of_whole_milliseconds_is_rounded_down_as_a_start_only() -> None:
    """A gap of 1 ms: `a` reaches 0.5 ms into it, `b` begins at the whole millisecond, durations stay exact."""
    payloads = Payloads()
    flooded = flood(made(payloads, [(0, 10 * MS, {"a": 1}), (11 * MS, 9 * MS, {"a": 2})]))
    assert [(start, duration) for start, duration, _, _ in rows(flooded)] == [(0, 10_000), (10_000, 9_500)]


def test_the_middle_of_microseconds_stays_exact() -> None:
    """One start that is no whole millisecond makes 1 µs the unit of the list."""
    flooded = flood(made(Payloads(), [(1, 10 * MS - 1, {"a": 1}), (11 * MS, 9 * MS, {"a": 2})]))
    assert [(start, duration) for start, duration, _, _ in rows(flooded)] == [(1, 10_499), (10_500, 9_500)]


@pytest.mark.parametrize(("gap_us", "half_us"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2), (-7, -4)])
def test_half_a_gap_is_rounded_half_to_even(gap_us: int, half_us: int) -> None:
    flooded = flood(made(Payloads(), [(1, 1_000_000, {"a": 1}), (1_000_001 + gap_us, S, {"a": 2})]))
    assert rows(flooded)[0][1] == 1_000_000 + half_us


@pytest.mark.parametrize(
    ("pulse_us", "joined"),
    [(2 * S, True), (2 * S - 1, False), (0, False), (-S, False), (10**30, True), (-(10**30), False)],
)
def test_a_gap_of_the_pulse_is_closed(pulse_us: int, joined: bool) -> None:
    flooded = flood(seconds(Payloads(), [(0, 10, "x"), (12, 20, "x")]), pulse_us)
    assert (len(flooded) == 1) == joined


def test_ids_stay_and_the_longer_keeps_its_own() -> None:
    payloads = Payloads()
    long_first = made(payloads, [(0, 10 * S, {}, 7), (12 * S, 3 * S, {}, 8)])
    long_last = made(payloads, [(0, 3 * S, {}, 7), (5 * S, 10 * S, {}, 8)])
    assert [event_id for *_, event_id in rows(flood(long_first))] == [7]
    assert [event_id for *_, event_id in rows(flood(long_last))] == [8]


def random_arrays(rng: np.random.Generator, count: int) -> tuple[Any, ...]:
    unit = int(rng.choice([1, 1000]))
    spread = int(rng.choice([50, 3000, 40_000]))
    start = np.sort(rng.integers(0, count * spread, count)) * unit
    duration = rng.integers(0, 2 * spread, count) * int(rng.choice([1, unit]))
    same = rng.random(count - 1) < rng.choice([0.0, 0.2, 0.8])
    pulse_us = int(rng.choice([0, 5, 1000, 5_000_000, -3]))
    return start, duration, same, pulse_us, unit


def test_all_pairs_at_once_are_what_one_after_the_other_are() -> None:
    """Overlaps, zero lengths, equal starts, in both units."""
    for number in range(EXAMPLES // 2):
        rng = np.random.default_rng(number)
        arrays = random_arrays(rng, int(rng.integers(2, 80)))
        for ours, plain in zip(close_gaps(*arrays), close_gaps_by_loop(*arrays), strict=True):
            assert ours.tolist() == plain.tolist(), f"seed {number}"


def test_a_chain_longer_than_the_passes_is_still_right() -> None:
    """Each event hands something to the next: as many passes as events would be needed."""
    count = 2000
    start = np.arange(count) * 10
    duration = np.full(count, 25)
    arrays = (start, duration, np.ones(count - 1, np.bool_), 5, 1)
    for ours, plain in zip(close_gaps(*arrays), close_gaps_by_loop(*arrays), strict=True):
        assert ours.tolist() == plain.tolist()


def plain_flood(events: list[tuple[int, int, str]], pulse_us: int) -> list[tuple[int, int, str]]:
    """Section 6, word for word; starts are of any microsecond."""
    state: list[list[Any]] = [list(event) for event in sorted(events, key=lambda event: event[:2])]
    for a, b in pairwise(state):
        a_end, b_end = a[0] + a[1], b[0] + b[1]
        gap = b[0] - a_end
        if gap == 0:
            continue
        if gap < 0 and a[2] == b[2]:
            start, end = min(a[0], b[0]), max(a_end, b_end)
            a[0], a[1], b[0], b[1] = start, end - start, end, 0
        elif -100 * MS < gap <= pulse_us and a[2] != b[2]:
            middle = a_end + round(gap / 2)
            a[1], b[0], b[1] = middle - a[0], middle, b_end - middle
        elif -100 * MS < gap <= pulse_us and a[1] >= b[1]:
            a[1], b[0], b[1] = b_end - a[0], b_end, 0
        elif -100 * MS < gap <= pulse_us:
            b[0], b[1], a[1] = a[0], b_end - a[0], 0
    out: list[list[Any]] = []
    for event in state:
        if event[1] <= 0:
            continue
        done = False
        while not done and out and out[-1][0] + out[-1][1] > event[0]:
            last = out[-1]
            if last[2] == event[2]:
                last[1] = max(last[0] + last[1], event[0] + event[1]) - last[0]
                done = True
                continue
            last[1] = event[0] - last[0]
            if last[1] > 0:
                out.append(event)
                done = True
            else:
                out.pop()
        if not done:
            out.append(event)
    return [(start, duration, value) for start, duration, value in out]


def test_microseconds_follow_the_text_of_the_specification() -> None:
    """aw-core cannot say anything about these: it has milliseconds only."""
    for number in range(EXAMPLES // 2):
        rng = random.Random(number)
        count = rng.choice((1, 3, 10, 30, 60))
        spread = rng.choice((10, 100_000, 4_000_000))
        stored = [
            (1 + rng.randrange(0, count * spread), rng.choice((0, rng.randrange(0, 2 * spread))), rng.choice("xyz"))
            for _ in range(count)
        ]
        stored[0] = (1, *stored[0][1:])  # so that 1 µs is the unit
        events = made(Payloads(), [(start, duration, {"a": value}) for start, duration, value in stored])
        flooded = [(start, duration, data["a"]) for start, duration, data, _ in rows(flood(events, 5 * S))]
        assert flooded == plain_flood(stored, 5 * S), f"seed {number}"
