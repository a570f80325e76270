"""Does a heartbeat continue the tail record? `rest-api.md` section 8, rule 2 and the limits of rule 3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.tail import covers, merged_duration_us
from awlog.model.commands import SendHeartbeat
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, span_from_seconds
from tests.log.events import VIM, WEB, event

# A tail record of 10 s at 0; times below are in µs.
S = 1_000_000
TAIL = event(1, 0, 10 * S)


def beat(start_us: int, duration_us: int = 0, *, pulsetime_us: int = 5 * S, payload: bytes = VIM) -> SendHeartbeat:
    return SendHeartbeat("notes", Micros(start_us), Micros(duration_us), payload, Micros(pulsetime_us))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start_us", "merged_us"),
    [
        (-S, None),
        (-1, None),
        (0, 10 * S),
        (1, 10 * S),
        (10 * S, 10 * S),
        (10 * S + 1, 10 * S + 1),
        (12 * S, 12 * S),
        (15 * S, 15 * S),
        (15 * S + 1, None),
        (3600 * S, None),
    ],
)
def test_a_heartbeat_extends_the_tail_from_its_start_to_its_end_plus_pulsetime(
    start_us: int, merged_us: int | None
) -> None:
    """A 10 s tail and a pulsetime of 5 s accept starts in [0, 15 s]; one microsecond outside, a new event opens."""
    assert merged_duration_us(TAIL, beat(start_us)) == merged_us


@pytest.mark.parametrize(
    ("start_us", "duration_us", "merged_us"),
    [
        (0, 10 * S, 10 * S),
        (0, 10 * S + 1, 10 * S + 1),
        (3 * S, 0, 10 * S),
        (3 * S, 6 * S, 10 * S),
        (3 * S, 7 * S, 10 * S),
        (3 * S, 7 * S + 1, 10 * S + 1),
        (15 * S, 30 * S, 45 * S),
        (15 * S + 1, 30 * S, None),
        (-1, 60 * S, None),
    ],
)
def test_the_tail_reaches_to_the_end_of_the_heartbeat_and_never_gets_shorter(
    start_us: int, duration_us: int, merged_us: int | None
) -> None:
    """Where the heartbeat begins decides whether it merges, where it ends how long the tail is."""
    assert merged_duration_us(TAIL, beat(start_us, duration_us)) == merged_us


@pytest.mark.parametrize(
    ("pulsetime_us", "start_us", "merges"),
    [
        (0, 10 * S, True),
        (0, 10 * S + 1, False),
        (1, 10 * S + 1, True),
        (-1, 10 * S, False),
        (-1, 10 * S - 1, True),
        (-4 * S, 6 * S, True),
        (-4 * S, 6 * S + 1, False),
        (-10 * S, 0, True),
        (-10 * S, 1, False),
        (-10 * S - 1, 0, False),
        (-3600 * S, 0, False),
    ],
)
def test_a_negative_pulsetime_shortens_the_window(pulsetime_us: int, start_us: int, merges: bool) -> None:
    """Only overlaps merge: with -4 s a heartbeat must begin 4 s before the tail's end. Zero means touching."""
    merged_us = merged_duration_us(TAIL, beat(start_us, pulsetime_us=pulsetime_us))
    assert (merged_us is not None) == merges


@pytest.mark.parametrize("start_us", [0, 5 * S, 12 * S])
def test_other_data_never_merge(start_us: int) -> None:
    """However close in time."""
    assert merged_duration_us(TAIL, beat(start_us, payload=WEB)) is None


def test_an_endless_pulsetime_merges_the_first_instant_with_the_last() -> None:
    """However large, it does not overflow; and its opposite merges nothing."""
    first = event(1, TIME_MIN_US)
    assert (
        merged_duration_us(first, beat(TIME_MAX_US, pulsetime_us=span_from_seconds(1e308))) == TIME_MAX_US - TIME_MIN_US
    )
    assert merged_duration_us(first, beat(TIME_MIN_US, pulsetime_us=span_from_seconds(-1e308))) is None


@given(
    tail_us=st.integers(0, 40),
    start_us=st.integers(-10, 80),
    duration_us=st.integers(0, 40),
    pulsetime_us=st.integers(-50, 50),
)
def test_a_merge_is_what_section_8_says(tail_us: int, start_us: int, duration_us: int, pulsetime_us: int) -> None:
    """T.timestamp <= H.timestamp <= T.timestamp + T.duration + pulsetime, then the greater end counts."""
    tail, heartbeat = event(1, 0, tail_us), beat(start_us, duration_us, pulsetime_us=pulsetime_us)
    expected = max(tail_us, start_us + duration_us) if 0 <= start_us <= tail_us + pulsetime_us else None
    assert merged_duration_us(tail, heartbeat) == expected


@pytest.mark.parametrize(
    ("start_us", "duration_us", "payload", "covered"),
    [
        (0, 10 * S, VIM, True),
        (0, 0, VIM, True),
        (10 * S, 0, VIM, True),
        (2 * S, 3 * S, VIM, True),
        (-1, 0, VIM, False),
        (-1, 5 * S, VIM, False),
        (0, 10 * S + 1, VIM, False),
        (10 * S + 1, 0, VIM, False),
        (2 * S, 3 * S, WEB, False),
    ],
)
def test_an_event_covers_what_lies_within_it_with_equal_data(
    start_us: int, duration_us: int, payload: bytes, covered: bool
) -> None:
    """Its start at or before the heartbeat's, its end at or after; the pulsetime plays no part."""
    for pulsetime_us in (-100 * S, 0, 100 * S):
        assert covers(TAIL, beat(start_us, duration_us, pulsetime_us=pulsetime_us, payload=payload)) == covered
