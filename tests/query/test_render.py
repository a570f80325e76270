"""Events -> JSON bytes: what a reader parses is exactly what is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awlog.log.columns import columns_of
from awlog.model.event import BUCKET_NUMBER_MAX, SEQ_MAX, BucketNumber, Event, Payload, Seq, event_id
from awlog.model.payload import canonical_object
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, format_timestamp
from awlog.query.render import AnswerStarts, render_event, render_events
from tests.log.events import any_event, event

numbers = st.integers(1, BUCKET_NUMBER_MAX).map(BucketNumber)
events_of_any_kind = st.lists(st.integers(1, SEQ_MAX).flatmap(any_event), max_size=8)
whole_seconds = st.integers(TIME_MIN_US // 10**6, TIME_MAX_US // 10**6).map(lambda second: second * 10**6)


def on_the_wire(number: BucketNumber | None, one: Event) -> dict[str, Any]:
    """The event as section 2 shows it, made without the code under test."""
    shown = {
        "timestamp": format_timestamp(one.start_us),
        "duration": one.duration_us / 1_000_000,
        "data": json.loads(one.payload),
    }
    return shown if number is None else {"id": event_id(number, one.seq), **shown}


def parsed(rendered: bytes) -> Any:
    return json.loads(b"[" + rendered + b"]", parse_constant=pytest.fail)


@given(numbers, events_of_any_kind)
def test_what_is_rendered_is_parsed_as_exactly_the_events(number: BucketNumber, events: list[Event]) -> None:
    """In their order, with their ids; the brackets are the caller's."""
    assert parsed(render_events(columns_of(events), number)) == [on_the_wire(number, one) for one in events]


@given(events_of_any_kind)
def test_without_a_bucket_the_ids_are_left_out(events: list[Event]) -> None:
    """An export: ids mean nothing elsewhere."""
    assert parsed(render_events(columns_of(events), None)) == [on_the_wire(None, one) for one in events]


@given(numbers, st.integers(1, SEQ_MAX).flatmap(any_event))
@example(BucketNumber(1), event(1, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US))
@example(BucketNumber(1), event(1, 0, (1 << 53) + 1))
def test_one_event_is_rendered_alike_alone_and_among_others(number: BucketNumber, one: Event) -> None:
    """The answer to a write and a later read show the same bytes, also for durations of centuries."""
    assert render_event(number, one) == render_events(columns_of([one]), number)


def test_the_event_of_section_2() -> None:
    """To the byte: key order and white space mean nothing, but they do not change without a reason."""
    one = event(3, 1_714_557_600_250_000, 12_500_000)
    assert render_event(BucketNumber(1), one) == (
        b'{"id":4294967299,"timestamp":"2024-05-01T10:00:00.250000+00:00","duration":12.5,"data":{"app":"vim"}}'
    )


@given(st.lists(whole_seconds, min_size=1, max_size=6), st.lists(st.integers(TIME_MIN_US, TIME_MAX_US), max_size=6))
def test_a_timestamp_has_no_fraction_when_it_is_zero_and_six_digits_otherwise(
    whole: list[int], others: list[int]
) -> None:
    """Whatever its neighbours have; as `datetime.isoformat()` writes it, from year 1 to 9999."""
    starts = [*whole, *others]
    rendered = render_events(columns_of([event(i, start_us) for i, start_us in enumerate(starts, start=1)]), None)
    texts = [shown["timestamp"] for shown in parsed(rendered)]
    assert texts == [format_timestamp(start_us) for start_us in starts]
    assert {len(text) for text in texts[: len(whole)]} == {len("2024-05-01T10:00:00+00:00")}


@pytest.mark.parametrize(
    ("duration_us", "text"),
    [
        (0, b"0.0"),
        (1, b"1e-6"),
        (100, b"0.0001"),
        (1_000_000, b"1.0"),
        (12_500_000, b"12.5"),
        (86_400_000_000, b"86400.0"),
        (TIME_MAX_US - TIME_MIN_US, b"315537897600.0"),
    ],
)
def test_durations_are_always_floats(duration_us: int, text: bytes) -> None:
    """`0.0`, never `0`: some clients would take an integer for another type."""
    one = event(1, TIME_MIN_US, duration_us)
    for rendered in (render_event(BucketNumber(1), one), render_events(columns_of([one]), None)):
        assert b'"duration":' + text + b"," in rendered


def test_data_are_rendered_as_they_are_kept() -> None:
    """Texts with quotes, escapes and letters of the world; numbers beyond 64 bits; nothing is decoded on the way."""
    raw = (
        '{"title":"\\"quoted\\" \\\\ \\u0007 日本 \N{GRINNING FACE}","n":123456789012345678901234567890,"":[1.0,null]}'
    )
    payload = canonical_object(raw.encode())
    (shown,) = parsed(render_events(columns_of([event(1, 0, 0, payload)]), None))
    assert shown["data"] == json.loads(raw)


def test_no_events_are_no_bytes() -> None:
    """The caller's brackets make `[]` of it."""
    assert render_events(columns_of([]), None) == render_events(columns_of([]), BucketNumber(1)) == b""


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2), st.integers(1, 2), st.integers(0, 1), st.integers(0, 10**18), st.sampled_from("ab")
        )
    )
)
def test_a_ready_made_start_gives_the_same_bytes(events):
    """Whatever was rendered before for this bucket: another event, another start, another payload, a re-made bucket."""
    starts = AnswerStarts()
    for number, seq, start_us, duration_us, data in events:
        event = Event(Seq(seq), Micros(start_us), Micros(duration_us), Payload(b'{"d":"%b"}' % data.encode()))
        assert starts.render(BucketNumber(number), event) == render_event(BucketNumber(number), event)


def test_the_ready_made_starts_are_bounded():
    starts = AnswerStarts()
    event = Event(Seq(1), Micros(0), Micros(0), Payload(b"{}"))
    for number in range(1, 10_000):
        assert starts.render(BucketNumber(number), event) == render_event(BucketNumber(number), event)
    assert len(starts._ready) <= 4096
