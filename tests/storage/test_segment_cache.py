"""The segment cache: bounded in bytes, least recently used out first, never one segment for another."""

from __future__ import annotations

from msgspec.structs import replace

from awlog.log.columns import Columns, columns_of
from awlog.log.segment_index import SegmentEntry
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros
from awlog.storage.segment_cache import SegmentCache

BUCKET = BucketNumber(1)
# Ten events with one payload of a hundred bytes: some 420 bytes.
TEN_EVENTS_BYTES = 10 * 36 + 100 + 41


def entry(first_seq: int, revision: int = 1) -> SegmentEntry:
    return SegmentEntry(
        Seq(first_seq), Seq(first_seq + 9), 10, Micros(0), Micros(9), Micros(9), Change(1), Change(10), revision
    )


def columns(first_seq: int, payload_bytes: int = 100) -> Columns:
    payload = Payload(b"x" * payload_bytes)
    return columns_of([Event(Seq(first_seq + n), Micros(n), Micros(0), payload) for n in range(10)])


def kept(cache: SegmentCache, count: int) -> list[int]:
    """Which of the first segments are in the cache; asking uses each of them, in their order."""
    return [n for n in range(count) if cache.get(BUCKET, entry(10 * n)) is not None]


def test_what_is_put_is_found():
    cache = SegmentCache(1 << 20)
    put = columns(0)
    cache.put(BUCKET, entry(0), put)
    assert cache.get(BUCKET, entry(0)) is put


def test_it_holds_no_more_bytes_than_it_may():
    """A hundred segments through a cache with room for seven: the seven newest stay."""
    cache = SegmentCache(7 * TEN_EVENTS_BYTES)
    for n in range(100):
        cache.put(BUCKET, entry(10 * n), columns(10 * n))
    assert kept(cache, 100) == list(range(93, 100))


def test_the_least_recently_used_goes_first():
    cache = SegmentCache(3 * TEN_EVENTS_BYTES)
    for n in range(3):
        cache.put(BUCKET, entry(10 * n), columns(10 * n))
    cache.get(BUCKET, entry(0))
    cache.put(BUCKET, entry(30), columns(30))
    assert kept(cache, 4) == [0, 2, 3]


def test_payloads_count_with_their_length():
    """One segment with long titles takes the room of several without."""
    cache = SegmentCache(4 * TEN_EVENTS_BYTES)
    for n in range(3):
        cache.put(BUCKET, entry(10 * n), columns(10 * n))
    cache.put(BUCKET, entry(30), columns(30, payload_bytes=100 + 2 * TEN_EVENTS_BYTES))
    assert kept(cache, 4) == [2, 3]


def test_a_segment_larger_than_the_cache_is_not_kept():
    """And no room is: asking for nothing but large ones is the same as having no cache."""
    cache = SegmentCache(TEN_EVENTS_BYTES)
    cache.put(BUCKET, entry(0), columns(0, payload_bytes=10_000))
    assert kept(cache, 1) == []
    cache.put(BUCKET, entry(0), columns(0))
    assert kept(cache, 1) == [0]


def test_a_cache_of_no_bytes_keeps_nothing():
    cache = SegmentCache(0)
    cache.put(BUCKET, entry(0), columns(0))
    assert kept(cache, 1) == []


def test_a_segment_put_twice_takes_its_room_once():
    cache = SegmentCache(2 * TEN_EVENTS_BYTES)
    for _ in range(5):
        cache.put(BUCKET, entry(0), columns(0))
    cache.put(BUCKET, entry(10), columns(10))
    assert kept(cache, 2) == [0, 1]


def test_a_rewritten_segment_or_one_of_another_bucket_is_another_segment():
    cache = SegmentCache(1 << 20)
    cache.put(BUCKET, entry(0), columns(0))
    assert cache.get(BUCKET, entry(0, revision=2)) is None
    assert cache.get(BucketNumber(2), entry(0)) is None
    assert cache.get(BUCKET, replace(entry(0), count=9)) is None


def test_a_cleared_cache_has_all_its_room_again():
    cache = SegmentCache(2 * TEN_EVENTS_BYTES)
    for n in range(2):
        cache.put(BUCKET, entry(10 * n), columns(10 * n))
    cache.clear()
    assert kept(cache, 2) == []
    for n in range(2):
        cache.put(BUCKET, entry(10 * n), columns(10 * n))
    assert kept(cache, 2) == [0, 1]
