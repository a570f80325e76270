"""How long a bucket is usually silent."""

from __future__ import annotations

import pytest

from awlog.log.rhythm import usual_silence_us
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros


def bucket_of(spans: list[tuple[int, int]]) -> BucketState:
    """A bucket with events of these starts and durations, the last one as its tail record."""
    bucket = BucketState(BucketMeta(BucketNumber(1), "b", "", "", "", Micros(0)))
    events = [
        Event(Seq(seq), Micros(start), Micros(duration), Payload(b"{}"))
        for seq, (start, duration) in enumerate(spans, 1)
    ]
    bucket.tail = events[-1] if events else None
    bucket.head.put_all(events[:-1])
    return bucket


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], None),
        ([(0, 5)], None),
        ([(0, 5), (10, 5)], None),
        ([(0, 5), (10, 5), (20, 5)], 5),
        ([(0, 50), (10, 5), (60, 5)], 45),  # the gap between neighbours; one that overlaps is none
        ([(10 * at, 8) for at in range(40)], 2),
        ([(0, 8), *((1000 + 10 * at, 8) for at in range(40))], 2),  # one night among many short gaps
    ],
)
def test_nine_in_ten_gaps_are_no_longer(spans: list[tuple[int, int]], expected: int | None) -> None:
    assert usual_silence_us(bucket_of(spans)) == expected


def test_where_all_is_sealed_the_average_distance_counts() -> None:
    """After an import of years there may be nothing in the head."""
    bucket = bucket_of([(1000, 5)])
    bucket.index.put(SegmentEntry(Seq(2), Seq(11), 10, Micros(0), Micros(900), Micros(905), Change(1), Change(1), 1))
    assert usual_silence_us(bucket) == 90
