"""Columns: events as arrays, cut, joined and merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.columns import Columns, columns_of, joined, merge_newest_first
from awlog.model.event import Event
from tests.log.events import NONE, VIM, WEB, close_events, close_starts, event, in_reading_order, meeting, rows


class Parts:
    """Parts for `merge_newest_first` by descending bound; notes which have been loaded."""

    def __init__(self, parts: list[tuple[int, list[Event]]]) -> None:
        self.loaded: list[int] = []
        self.parts = sorted(parts, key=lambda part: part[0], reverse=True)

    def __iter__(self) -> Iterator[tuple[int, Callable[[], Columns]]]:
        return iter([(bound, self._loader(i, events)) for i, (bound, events) in enumerate(self.parts)])

    def _loader(self, i: int, events: list[Event]) -> Callable[[], Columns]:
        def load() -> Columns:
            self.loaded.append(i)
            return columns_of(events)

        return load


@st.composite
def dealt_parts(draw: st.DrawFn) -> list[tuple[int, list[Event]]]:
    """Events dealt out to some parts, each with a bound at its greatest start or above it; parts may be empty."""
    events = draw(close_events())
    homes = draw(st.lists(st.integers(0, 4), min_size=len(events), max_size=len(events)))
    parts = []
    for home in range(5):
        held = [one for one, its in zip(events, homes, strict=True) if its == home]
        slack = draw(st.integers(0, 4))
        parts.append((max((one.start_us for one in held), default=draw(close_starts)) + slack, held))
    return parts


@given(close_events())
def test_columns_hold_the_events_in_their_order(events: list[Event]) -> None:
    """As a whole, by row, and by the arrays; each distinct payload is kept once."""
    columns = columns_of(events)
    assert len(columns) == len(events)
    assert columns.events() == events
    assert [columns.event(row) for row in range(len(events))] == events
    assert columns.end_us.tolist() == [one.end_us for one in events]
    assert sorted(columns.payloads) == sorted({one.payload for one in events})
    assert [array.dtype for array in (columns.seq, columns.start_us, columns.duration_us, columns.payload_code)] == [
        np.int64,
        np.int64,
        np.int64,
        np.uint32,
    ]


@given(st.lists(close_events(max_size=6), max_size=5))
def test_joined_columns_are_all_rows_one_part_after_the_other(parts: list[list[Event]]) -> None:
    """No part, one, or several, empty ones among them; every row keeps its payload."""
    whole = joined([columns_of(part) for part in parts])
    assert whole.events() == [one for part in parts for one in part]


@given(close_events(), st.data())
def test_rows_are_taken_by_mask_by_index_and_by_slice(events: list[Event], data: st.DataObject) -> None:
    """Indices in their own order."""
    columns = columns_of(events)
    mask = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    assert columns.take(np.array(mask, bool)).events() == [one for one, kept in zip(events, mask, strict=True) if kept]
    if events:
        chosen = data.draw(st.lists(st.integers(0, len(events) - 1)))
        assert columns.take(np.array(chosen, np.intp)).events() == [events[row] for row in chosen]
    count = data.draw(st.integers(0, len(events)))
    assert columns.take(slice(count)).events() == events[:count]


@given(close_events(), st.data())
def test_compacted_columns_keep_no_payload_that_nobody_uses(events: list[Event], data: st.DataObject) -> None:
    """What is erased must not stay behind in a rewritten segment."""
    kept = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    some = columns_of(events).take(np.array(kept, bool))
    compacted = some.compacted()
    assert compacted.events() == some.events()
    assert sorted(compacted.payloads) == sorted({one.payload for one in some.events()})


@given(close_events(), close_starts, close_starts)
def test_the_rows_that_meet_a_range_have_both_ends_inside(events: list[Event], start_us: int, end_us: int) -> None:
    """In their order, uncut; an event that only touches the range meets it."""
    found = columns_of(events).meeting(start_us, end_us).events()
    assert in_reading_order(found) == meeting(events, start_us, end_us)
    assert [one.seq for one in found] == sorted(one.seq for one in found)


@given(close_events(), close_starts, close_starts)
def test_clipped_events_are_cut_to_the_range(events: list[Event], one_us: int, other_us: int) -> None:
    """Section 7: timestamp = max(timestamp, start), end = min(end, end of the range); seq and payload stay."""
    start_us, end_us = min(one_us, other_us), max(one_us, other_us)
    met = [one for one in events if one.end_us >= start_us and one.start_us <= end_us]
    clipped = columns_of(met).clipped(start_us, end_us).events()
    for cut, one in zip(clipped, met, strict=True):
        assert (cut.seq, cut.payload) == (one.seq, one.payload)
        assert (cut.start_us, cut.end_us) == (max(one.start_us, start_us), min(one.end_us, end_us))
        assert cut.duration_us >= 0


def test_an_event_that_only_touches_the_range_becomes_a_moment_at_its_edge() -> None:
    """The example of section 7: A ends in the range, B lies in it, C begins at its end."""
    stored = [event(1, 0, 60), event(2, 60, 0), event(3, 120, 30)]
    columns = columns_of(stored).meeting(30, 120).newest_first().clipped(30, 120)
    assert columns.events() == [event(3, 120, 0), event(2, 60, 0), event(1, 30, 30)]
    assert columns_of(stored).meeting(150, 200).clipped(150, 200).events() == [event(3, 150, 0)]


@given(close_events())
def test_newest_first_is_by_descending_start_and_ascending_seq(events: list[Event]) -> None:
    """The order of range reads."""
    assert columns_of(events[::-1]).newest_first().events() == in_reading_order(events)


@given(dealt_parts())
def test_a_merge_of_parts_is_all_of_them_sorted(parts: list[tuple[int, list[Event]]]) -> None:
    """Whether they overlap or not, with ties across parts, empty parts, and bounds that are too high."""
    chunks = list(merge_newest_first(Parts(parts)))
    assert rows(chunks) == in_reading_order(one for _, events in parts for one in events)
    assert all(len(chunk) for chunk in chunks), "no chunk is empty"


@given(dealt_parts())
def test_a_part_is_loaded_when_its_turn_has_come_and_not_before(parts: list[tuple[int, list[Event]]]) -> None:
    """When a chunk has been given, every part that was loaded for it could begin as late as something loaded before."""
    source = Parts(parts)
    bounds = sorted((bound for bound, _ in parts), reverse=True)
    given_so_far: list[Event] = []
    for chunk in merge_newest_first(source):
        given_so_far += chunk.events()
        not_loaded = bounds[len(source.loaded) :]
        assert source.loaded == list(range(len(source.loaded))), "in the order of their bounds, each once"
        assert all(one.start_us > bound for one in given_so_far for bound in not_loaded), "given before it was sure"
        pending = [one for i in source.loaded for one in source.parts[i][1] if one not in given_so_far]
        assert not not_loaded or all(one.start_us <= not_loaded[0] for one in pending), "held back without a reason"


def test_parts_that_do_not_overlap_are_loaded_one_at_a_time() -> None:
    """Three days: the second is loaded when the first has been given, the third when the second has."""
    source = Parts([(300, [event(3, 300)]), (200, [event(2, 200)]), (100, [event(1, 100)])])
    merged = merge_newest_first(source)
    assert source.loaded == []
    for turn in range(3):
        assert next(merged).events() == [event(3 - turn, 300 - 100 * turn)]
        assert source.loaded == list(range(turn + 1))


def test_what_is_later_than_the_next_part_is_given_before_that_is_loaded() -> None:
    """Of two overlapping parts the first one's later events do not wait for the second."""
    source = Parts([(300, [event(1, 100), event(2, 300)]), (200, [event(3, 50), event(4, 200)])])
    merged = merge_newest_first(source)
    assert next(merged).events() == [event(2, 300)]
    assert source.loaded == [0]
    assert next(merged).events() == [event(4, 200), event(1, 100), event(3, 50)]
    assert source.loaded == [0, 1]


def test_a_merge_forgets_the_payloads_of_what_it_has_given() -> None:
    """Years of history pass through in flat memory: what is held for the next chunk holds its own payloads only."""
    source = Parts([(300, [event(1, 100, 0, VIM), event(2, 300, 0, WEB)]), (200, [event(3, 200, 0, NONE)])])
    _, second = merge_newest_first(source)
    assert sorted(second.payloads) == sorted([VIM, NONE])
