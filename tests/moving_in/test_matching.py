"""Which events are there already: each held one answers for one of the source."""

from __future__ import annotations

import pytest

from awlog.log.columns import columns_of
from awlog.model.commands import NewEvent
from awlog.model.event import BucketNumber, Event, Payload, Seq, event_id
from awlog.model.times import Micros
from awlog.moving_in.matching import Held, Matched

Short = tuple[int, int, str]
"""Start, duration, data."""


def match(held: list[Short], source: list[Short]) -> Matched:
    stored = [Event(Seq(seq), *_of(each)) for seq, each in enumerate(held, start=1)]
    table = Held(BucketNumber(7), Seq(len(stored) + 1))
    return table.match([NewEvent(*_of(each)) for each in source], [columns_of(stored)])


def _of(short: Short) -> tuple[Micros, Micros, Payload]:
    return Micros(short[0]), Micros(short[1]), Payload(b'{"s":"%b"}' % short[2].encode())


def missing(matched: Matched) -> list[Short]:
    return [(each.start_us, each.duration_us, each.payload[6:-2].decode()) for each in matched.missing]


@pytest.mark.parametrize(
    ("held", "source", "expected"),
    [
        ([], [(1, 1, "a")], [(1, 1, "a")]),
        ([(1, 1, "a")], [(1, 1, "a")], []),
        ([(1, 1, "a")], [(1, 1, "a"), (1, 1, "a"), (1, 1, "a")], [(1, 1, "a"), (1, 1, "a")]),
        ([(1, 1, "a"), (1, 1, "a")], [(1, 1, "a")], []),
        ([(1, 1, "a")], [(1, 1, "b"), (2, 1, "a")], [(1, 1, "b"), (2, 1, "a")]),
        ([(5, 1, "a"), (1, 1, "a")], [(1, 1, "a"), (3, 1, "c"), (5, 1, "a")], [(3, 1, "c")]),
    ],
)
def test_a_bucket_lacks_as_many_copies_as_the_source_has_more(
    held: list[Short], source: list[Short], expected: list[Short]
) -> None:
    """In the order of the source."""
    assert missing(match(held, source)) == expected


def test_an_event_that_has_grown_takes_the_place_of_the_shorter_one() -> None:
    """It was still being recorded when it was imported first."""
    matched = match([(1, 1, "z"), (5, 10, "a")], [(5, 25, "a")])
    assert (missing(matched), matched.identical_count) == ([], 0)
    assert [(each.duration_us, each.wire_id) for each in matched.grown] == [(25, event_id(BucketNumber(7), Seq(2)))]


def test_an_event_that_is_longer_here_is_there() -> None:
    """This server went on with it after it was imported."""
    matched = match([(5, 30, "a")], [(5, 25, "a")])
    assert (missing(matched), matched.grown, matched.identical_count, matched.longer_us) == ([], [], 1, 5)


@pytest.mark.parametrize("source", [[(5, 10, "a"), (5, 25, "a")], [(5, 25, "a"), (5, 10, "a")]])
def test_an_equal_event_answers_before_one_that_could_have_grown(source: list[Short]) -> None:
    """Two events of one start, of which a first try had brought the shorter one: the longer one is missing."""
    matched = match([(5, 10, "a")], source)
    assert (missing(matched), matched.grown, matched.identical_count) == ([(5, 25, "a")], [], 1)


def test_what_came_in_during_this_import_answers_for_nothing() -> None:
    """Only what has a seq below that of the beginning counts."""
    table = Held(BucketNumber(7), Seq(1))
    stored = columns_of([Event(Seq(1), *_of((1, 1, "a")))])
    assert len(table.match([NewEvent(*_of((1, 1, "a")))], [stored]).missing) == 1


def test_an_event_answers_once_in_the_whole_import() -> None:
    """Copies in two batches are two events."""
    stored = columns_of([Event(Seq(1), *_of((1, 1, "a")))])
    table = Held(BucketNumber(7), Seq(2))
    event = NewEvent(*_of((1, 1, "a")))
    assert [len(table.match([event], [stored]).missing) for _ in range(3)] == [0, 1, 1]
    assert table.answered(stored).tolist() == [True]
