"""Short words for an event, and hypothesis strategies for many of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from hypothesis import strategies as st

from awlog.log.columns import Columns
from awlog.model.event import Event, Payload, Seq
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros

VIM, WEB, NONE = Payload(b'{"app":"vim"}'), Payload(b'{"app":"web"}'), Payload(b"{}")
PAYLOADS = (VIM, WEB, NONE)

# Few instants, so that ties, touching events and overlaps are common.
close_starts = st.integers(-12, 12)
short_durations = st.integers(0, 9)


def event(seq: int, start_us: int = 0, duration_us: int = 0, payload: bytes = VIM) -> Event:
    return Event(Seq(seq), Micros(start_us), Micros(duration_us), Payload(payload))


def numbered(spans: Iterable[tuple[int, int, bytes]]) -> list[Event]:
    """(start, duration, payload) -> events with seqs from 1 on."""
    return [event(seq, *span) for seq, span in enumerate(spans, start=1)]


def close_events(*, max_size: int = 24) -> st.SearchStrategy[list[Event]]:
    """Events with seqs from 1 on, in a small stretch of time."""
    return st.lists(st.tuples(close_starts, short_durations, st.sampled_from(PAYLOADS)), max_size=max_size).map(
        numbered
    )


@st.composite
def any_event(draw: st.DrawFn, seq: int = 1) -> Event:
    """Anywhere in years 1 to 9999, of any length, with any text in its data."""
    start_us = draw(st.integers(TIME_MIN_US, TIME_MAX_US))
    duration_us = draw(st.integers(0, TIME_MAX_US - start_us))
    return event(seq, start_us, duration_us, msgspec.json.encode({"title": draw(st.text(max_size=8))}))


def in_reading_order(events: Iterable[Event]) -> list[Event]:
    """By descending start and ascending seq."""
    return sorted(events, key=lambda one: (-one.start_us, one.seq))


def meeting(events: Iterable[Event], start_us: int, end_us: int) -> list[Event]:
    """Those that meet [start_us, end_us], both ends inside, in the order of range reads: section 7, word for word."""
    return in_reading_order(one for one in events if one.end_us >= start_us and one.start_us <= end_us)


def youngest(events: Iterable[Event]) -> Event | None:
    """The one with the greatest start, of equal ones the greatest seq."""
    return max(events, key=lambda one: (one.start_us, one.seq), default=None)


def rows(parts: Sequence[Columns]) -> list[Event]:
    return [one for part in parts for one in part.events()]
