"""The segment index against a plain dict of entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from awlog.log.segment_index import SegmentEntry, SegmentIndex
from awlog.model.event import Change, Seq
from awlog.model.times import Micros

times = st.integers(-15, 15)
first_seqs = st.integers(1, 8)


def entry(
    first_seq: int,
    min_start_us: int,
    max_start_us: int,
    max_end_us: int,
    *,
    last_seq: int | None = None,
    revision: int = 0,
) -> SegmentEntry:
    return SegmentEntry(
        Seq(first_seq),
        Seq(first_seq + 2 if last_seq is None else last_seq),
        3,
        Micros(min_start_us),
        Micros(max_start_us),
        Micros(max_end_us),
        Change(1),
        Change(3),
        revision,
    )


@st.composite
def entries(draw: st.DrawFn) -> SegmentEntry:
    """Any segment that can be: min start <= max start <= max end; seq ranges may overlap."""
    min_start_us, max_start_us, max_end_us = sorted(draw(st.tuples(times, times, times)))
    first_seq = draw(first_seqs)
    last_seq = first_seq + draw(st.integers(0, 5))
    return entry(first_seq, min_start_us, max_start_us, max_end_us, last_seq=last_seq, revision=draw(st.integers(0, 2)))


@given(
    st.lists(st.tuples(st.just("put"), entries()) | st.tuples(st.just("remove"), first_seqs), max_size=16),
    st.lists(st.tuples(times, times), min_size=1, max_size=5),
)
def test_an_index_says_what_a_plain_list_says(
    steps: list[tuple[str, SegmentEntry | int]], ranges: list[tuple[int, int]]
) -> None:
    """After any puts, replacements and removals: what meets a range, what may hold a seq, and the sums."""
    index = SegmentIndex()
    model: dict[Seq, SegmentEntry] = {}
    for _, value in steps:
        if isinstance(value, SegmentEntry):
            index.put(value)
            model[value.first_seq] = value
        elif Seq(value) in model:
            index.remove(Seq(value))
            del model[Seq(value)]
        held = list(model.values())
        assert len(index) == len(held)
        assert list(index) == sorted(held, key=lambda one: (one.min_start_us, one.first_seq))
        assert index.event_count() == sum(one.count for one in held)
        assert index.min_start_us() == min((one.min_start_us for one in held), default=None)
        assert index.max_end_us() == max((one.max_end_us for one in held), default=None)
    for start_us, end_us in ranges:
        met = index.meeting(start_us, end_us)
        expected = [one for one in model.values() if one.max_end_us >= start_us and one.min_start_us <= end_us]
        assert sorted(met, key=lambda one: one.first_seq) == sorted(expected, key=lambda one: one.first_seq)
        assert [one.max_start_us for one in met] == sorted((one.max_start_us for one in met), reverse=True)
    for number in range(1, 14):
        seq = Seq(number)
        assert index.get(seq) == model.get(seq)
        holding = {one.first_seq for one in index.maybe_holding(seq)}
        assert holding == {one.first_seq for one in model.values() if one.first_seq <= seq <= one.last_seq}


@given(
    st.lists(entries(), max_size=8, unique_by=lambda one: one.first_seq), times, times, st.integers(1, 12), st.data()
)
def test_the_newest_events_of_a_range_are_in_the_segments_that_are_named(
    held: list[SegmentEntry], start_us: int, end_us: int, count_max: int, data: st.DataObject
) -> None:
    """Whatever events the segments hold: each at some start within the segment's, reaching no further than its end."""
    index = SegmentIndex()
    events: list[tuple[int, Seq]] = []
    for one in held:
        index.put(one)
        starts = [one.min_start_us, one.max_start_us, data.draw(st.integers(one.min_start_us, one.max_start_us))]
        ends = [data.draw(st.integers(starts[0], one.max_end_us)), one.max_end_us, starts[2]]
        events += [
            (at, one.first_seq) for at, end in zip(starts, ends, strict=True) if at <= end_us and end >= start_us
        ]
    newest = sorted(events, reverse=True)[:count_max]
    named = index.newest_meeting(start_us, end_us, count_max)
    assert {first_seq for at, first_seq in events if newest and at >= newest[-1][0]} <= {one.first_seq for one in named}
    assert all(one in index.meeting(start_us, end_us) for one in named)
    assert [one.max_start_us for one in named] == sorted((one.max_start_us for one in named), reverse=True)


def test_of_a_long_history_only_the_newest_segments_are_named_for_a_few_events() -> None:
    """Not as many as there are: the last hundred events cost the same after ten years."""
    index = SegmentIndex()
    for number in range(1, 1000):
        index.put(entry(number, 100 * number, 100 * number + 90, 100 * number + 99))
    assert [one.first_seq for one in index.newest_meeting(0, 1 << 60, 6)] == [999, 998]
    assert [one.first_seq for one in index.newest_meeting(0, 50_050, 3)] == [500, 499]


def test_a_long_segment_far_back_is_found() -> None:
    """One event of a year among segments of an hour: it reaches into every range of that year."""
    index = SegmentIndex()
    index.put(entry(1, 0, 10, 1_000_000))
    for number in range(2, 50):
        index.put(entry(number, 100 * number, 100 * number + 40, 100 * number + 50))
    assert [one.first_seq for one in index.meeting(900_000, 950_000)] == [1]
    assert [one.first_seq for one in index.meeting(4_960, 999_999)] == [1]
    assert [one.first_seq for one in index.meeting(4_950, 999_999)] == [49, 1]
    assert [one.first_seq for one in index.meeting(-5, 0)] == [1]
    assert index.meeting(1_000_001, 2_000_000) == []
    assert index.meeting(-9, -1) == []


def test_a_rewritten_segment_takes_the_place_of_the_old_one() -> None:
    """Put again with the same least seq, but another span: the old span finds nothing."""
    index = SegmentIndex()
    index.put(entry(1, 0, 10, 20))
    index.put(entry(1, 100, 110, 120, revision=1))
    assert len(index) == 1
    assert index.meeting(0, 50) == []
    assert [one.revision for one in index.meeting(100, 100)] == [1]
    assert (index.min_start_us(), index.max_end_us()) == (100, 120)
