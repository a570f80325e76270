"""A fact and the state -> the state after it. `MemoryStore` asserts the invariants after every step."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.decide import BULK_EVENTS
from awlog.log.sealing import seal_new
from awlog.log.segment import SEGMENT_EVENTS
from awlog.log.segment_index import SegmentEntry
from awlog.log.write_set import BucketGone, EventGone, SettingGone, TailRow
from awlog.model.bucket import BucketMeta
from awlog.model.commands import InsertEvents, NewEvent
from awlog.model.errors import DataDamaged
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.facts import (
    BucketCreated,
    BucketDeleted,
    BucketUpdated,
    EventAppended,
    EventDeleted,
    EventsAppended,
    EventsReplaced,
    Fact,
    SettingChanged,
    TailExtended,
)
from awlog.model.times import Micros
from tests.log.events import NONE, PAYLOADS, VIM, WEB, close_starts, event, short_durations
from tests.log.memory_store import NUMBER, MemoryStore, contents, store_with


def append(one: Event) -> EventAppended:
    return EventAppended(NUMBER, one)


def delete(seq: int) -> EventDeleted:
    return EventDeleted(NUMBER, Seq(seq))


def replace(*events: Event) -> EventsReplaced:
    return EventsReplaced(NUMBER, list(events))


def homes(store: MemoryStore) -> dict[str, list[int]]:
    """Where the events live, by their seqs."""
    bucket = store.bucket
    found = {
        "tail": [] if bucket.tail is None else [int(bucket.tail.seq)],
        "head": sorted(int(one.seq) for one in bucket.head),
        "sealed": sorted(int(one.seq) for entry in bucket.index for one in store.load(NUMBER, entry).events()),
    }
    store.loaded.clear()
    return found


# Appending


@pytest.mark.parametrize(
    ("start_us", "tail_seq"),
    [(101, 2), (100, 2), (99, 1), (0, 1)],
    ids=["younger", "equal start", "older", "much older"],
)
def test_of_two_events_the_younger_is_the_tail_record_and_the_other_a_record_of_the_head(
    start_us: int, tail_seq: int
) -> None:
    """By start; of equal ones the later to arrive. A backfilled event leaves the tail record in its place."""
    store = store_with([event(1, 100)])
    store.apply(append(event(2, start_us)))
    assert homes(store) == {"tail": [tail_seq], "head": [3 - tail_seq], "sealed": []}


def test_the_first_event_of_a_bucket_is_its_tail_record() -> None:
    """And nothing is written to the log for it: it is in the tail row."""
    store = store_with()
    writes = store.apply(append(event(1, 5)))
    assert homes(store) == {"tail": [1], "head": [], "sealed": []}
    assert writes.tails == {NUMBER: TailRow(Seq(2), 1, event(1, 5), 1)}
    assert writes.records == {}


def test_a_heartbeat_writes_the_tail_row_alone() -> None:
    """However many of them a commit carries: one row."""
    store = store_with([event(1, 5), event(2, 10)])
    writes = store.apply(*(TailExtended(NUMBER, Seq(2), Micros(n)) for n in (1, 2, 5)))
    assert writes.tails == {NUMBER: TailRow(Seq(3), 1, event(2, 10, 5), 2)}
    assert not writes.records
    assert not writes.segments
    assert not writes.buckets
    assert store.loaded == []


def test_an_older_tail_record_is_written_to_the_log_when_it_is_outgrown() -> None:
    """With the duration it has by then."""
    store = store_with([event(1, 5)])
    writes = store.apply(TailExtended(NUMBER, Seq(1), Micros(3)), append(event(2, 10)))
    assert writes.tails == {NUMBER: TailRow(Seq(3), 1, event(2, 10), 2)}
    assert writes.records == {NUMBER: {Seq(1): event(1, 5, 3)}}


# Many at once


def bulk(events: list[Event]) -> EventsAppended:
    """The fact for many new events, the first of their bucket."""
    records, runs = seal_new([NewEvent(one.start_us, one.duration_us, one.payload) for one in events])
    return EventsAppended(NUMBER, len(events), records, runs)


@pytest.mark.parametrize("youngest_at", [0, SEGMENT_EVENTS // 2, SEGMENT_EVENTS + 4], ids=["first", "inside", "last"])
def test_many_events_at_once_are_what_one_by_one_would_be(youngest_at: int) -> None:
    """The same events and the same tail record; only where the others live differs."""
    starts = list(range(SEGMENT_EVENTS + 5))
    starts[youngest_at] = 1_000_000
    events = [event(seq, start_us, 3, PAYLOADS[seq % 3]) for seq, start_us in enumerate(starts, start=1)]
    at_once, one_by_one = store_with(), store_with(events)
    at_once.apply(bulk(events))
    assert at_once.events() == one_by_one.events()
    assert at_once.bucket.tail == one_by_one.bucket.tail == events[youngest_at]
    assert at_once.bucket.next_seq == one_by_one.bucket.next_seq
    assert len(at_once.bucket.head) == 0
    assert at_once.bucket.index.event_count() == SEGMENT_EVENTS + 4


@pytest.mark.parametrize(("start_us", "tail_seq"), [(5, 3), (2, 3), (500, 1), (3, 3)])
def test_many_events_at_once_meet_a_tail_record(start_us: int, tail_seq: int) -> None:
    """The younger of the two stays or becomes the tail record, the other is a record of the head."""
    store = store_with([event(1, start_us)])
    store.apply(EventsAppended(NUMBER, 2, [event(3, 7), event(2, 6)], []))
    assert store.bucket.tail is not None
    assert store.bucket.tail.seq == tail_seq
    assert [one.seq for one in store.events()] == [1, 2, 3]
    assert store.bucket.next_seq == 4


# Replacing


def spread() -> MemoryStore:
    """1 and 2 in one segment, 3 and 4 in another, 5 and 6 in the head, 7 the tail record; starts 10, 20 ... 70."""
    events = [event(seq, 10 * seq, 2, PAYLOADS[seq % 3]) for seq in range(1, 8)]
    return store_with(events, [1, 2], [3, 4])


@pytest.mark.parametrize("seq", range(1, 8))
@pytest.mark.parametrize("start_us", [5, 33, 69, 70, 71, 500])
@pytest.mark.parametrize("payload", [VIM, Payload(b'{"new":1}')], ids=["known data", "new data"])
def test_replacing_an_event_leaves_all_others(seq: int, start_us: int, payload: Payload) -> None:
    """In a segment, in the head, or the tail record; to a time before, among, at and after the others."""
    store = spread()
    before = store.events()
    store.apply(replace(event(seq, start_us, 4, payload)))
    assert store.events() == [event(seq, start_us, 4, payload) if one.seq == seq else one for one in before]
    assert store.bucket.next_seq == 8


@pytest.mark.parametrize(
    ("seq", "start_us", "expected"),
    [
        (7, 75, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (7, 65, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (7, 60, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (7, 55, {"tail": [6], "head": [5, 7], "sealed": [1, 2, 3, 4]}),
        (7, 5, {"tail": [6], "head": [5, 7], "sealed": [1, 2, 3, 4]}),
        (6, 70, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (6, 71, {"tail": [6], "head": [5, 7], "sealed": [1, 2, 3, 4]}),
        (6, 5, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (2, 70, {"tail": [7], "head": [5, 6], "sealed": [1, 2, 3, 4]}),
        (2, 71, {"tail": [2], "head": [5, 6, 7], "sealed": [1, 3, 4]}),
        (1, 71, {"tail": [1], "head": [5, 6, 7], "sealed": [2, 3, 4]}),
    ],
)
def test_a_replaced_event_moves_when_it_becomes_the_youngest_or_stops_being_it(
    seq: int, start_us: int, expected: dict[str, list[int]]
) -> None:
    """The tail record is never in a segment, and what is sealed stays sealed unless it becomes the tail record."""
    store = spread()
    store.apply(replace(event(seq, start_us)))
    assert homes(store) == expected


def test_a_tail_record_that_is_moved_back_uncovers_a_sealed_one() -> None:
    """The youngest event that is left may be in a segment: it leaves it."""
    store = store_with([event(1, 10), event(2, 50), event(3, 20), event(4, 70)], [1, 2])
    store.apply(replace(event(4, 5)))
    assert homes(store) == {"tail": [2], "head": [3, 4], "sealed": [1]}


def test_a_replaced_payload_is_gone_from_its_segment() -> None:
    """An erased text must not stay in the file's live pages; others who use an equal one keep it."""
    secret, shared = Payload(b'{"title":"secret"}'), Payload(b'{"title":"shared"}')
    events = [event(1, 1, 0, secret), event(2, 2, 0, shared), event(3, 3, 0, shared), event(4, 4)]
    store = store_with(events, [1, 2, 3])
    store.apply(replace(event(1, 1, 0, Payload(b'{"title":"***"}'))), replace(event(2, 2, 0, NONE)))
    (entry,) = store.bucket.index
    assert sorted(store.load(NUMBER, entry).payloads) == sorted([Payload(b'{"title":"***"}'), NONE, shared])


def test_many_replaced_events_of_a_segment_are_one_look_and_one_rewrite() -> None:
    """A list that edits a year costs as many segments as it touches, not as many as it has events."""
    events = [event(seq, seq * 10) for seq in range(1, 21)]
    store = store_with(events, list(range(1, 13)))
    first = next(iter(store.bucket.index)).revision
    changed = [event(seq, seq * 10 + 1, 5, WEB) for seq in (2, 20, 3, 15, 11, 12)]
    store.loaded.clear()
    store.apply(replace(*changed))
    (entry,) = store.bucket.index
    assert len(store.loaded) == 1
    assert entry.revision == first + 1
    for seq, one in {one.seq: one for one in [*events, *changed]}.items():
        assert store.bucket.find(seq, store.load) == one


def test_of_many_replaced_events_the_youngest_is_the_tail_record_at_the_end() -> None:
    """Wherever it lived, and whatever was the tail record in between."""
    store = store_with([event(seq, seq * 10) for seq in range(1, 9)], [1, 2, 3, 4])
    store.apply(replace(event(8, 5), event(2, 500), event(6, 400)))
    assert homes(store) == {"tail": [2], "head": [5, 6, 7, 8], "sealed": [1, 3, 4]}


# Deleting


@pytest.mark.parametrize("seq", range(1, 8))
def test_deleting_an_event_leaves_all_others(seq: int) -> None:
    """Wherever it lives; its seq is not given again."""
    store = spread()
    before = store.events()
    store.apply(delete(seq))
    assert store.events() == [one for one in before if one.seq != seq]
    assert store.bucket.next_seq == 8
    assert store.bucket.find(Seq(seq), store.load) is None


@pytest.mark.parametrize(
    "order", [range(1, 8), range(7, 0, -1), (4, 7, 1, 6, 2, 5, 3)], ids=["oldest", "youngest", "mixed"]
)
def test_events_can_be_deleted_to_the_last(order: list[int]) -> None:
    """Then the bucket is as empty as a new one, but goes on counting."""
    store = spread()
    for seq in order:
        store.apply(delete(seq))
    assert store.events() == []
    assert store.segments == {}
    assert (store.bucket.tail, len(store.bucket.head), len(store.bucket.index)) == (None, 0, 0)
    assert (store.bucket.start_us(), store.bucket.end_us()) == (None, None)
    assert store.bucket.next_seq == 8


@pytest.mark.parametrize(
    ("events", "sealed", "promoted"),
    [
        pytest.param([event(1, 10), event(2, 20), event(3, 30)], [], 2, id="from the head"),
        pytest.param([event(1, 10), event(2, 20), event(3, 30)], [[1, 2]], 2, id="from a segment"),
        pytest.param([event(1, 20), event(2, 10), event(3, 30)], [[1]], 1, id="the segment is younger than the head"),
        pytest.param([event(1, 10), event(2, 20), event(3, 30)], [[1]], 2, id="the head is younger than the segment"),
        pytest.param([event(1, 20), event(2, 20), event(3, 30)], [[1]], 2, id="a tie, the head has the greater seq"),
        pytest.param([event(1, 20), event(2, 20), event(3, 30)], [[2]], 2, id="a tie, the segment has the greater seq"),
        pytest.param(
            [event(1, 20), event(2, 20), event(3, 20), event(4, 30)], [[1, 3], [2]], 3, id="a tie of segments"
        ),
        pytest.param([event(1, 20), event(2, 20), event(3, 20), event(4, 30)], [[1, 2, 3]], 3, id="a tie in a segment"),
        pytest.param([event(1, 50), event(2, 10), event(3, 60)], [[1, 2]], 1, id="not the last of its segment"),
        pytest.param([event(1, 10)], [], None, id="nothing is left"),
    ],
)
def test_when_the_tail_record_is_deleted_the_youngest_that_is_left_takes_its_place(
    events: list[Event], sealed: list[list[int]], promoted: int | None
) -> None:
    """It leaves the head, or the segment it was sealed in."""
    store = store_with(events, *sealed)
    store.apply(delete(len(events)))
    tail = store.bucket.tail
    assert (None if tail is None else tail.seq) == promoted
    assert [one.seq for one in store.events()] == [one.seq for one in events[:-1]]


def test_a_heartbeat_extends_a_tail_record_that_was_promoted() -> None:
    """It is in the tail row now, so its segment is not touched."""
    store = store_with([event(1, 10), event(2, 20), event(3, 30)], [1, 2])
    store.apply(delete(3))
    writes = store.apply(TailExtended(NUMBER, Seq(2), Micros(9)))
    assert writes.segments == {}
    assert store.events() == [event(1, 10), event(2, 20, 9)]


def test_deleting_the_first_of_a_segment_moves_its_key() -> None:
    """A segment's key is its least seq; what was rewritten has another revision."""
    store = store_with([event(seq, seq) for seq in range(1, 5)], [1, 2, 3])
    store.apply(delete(1))
    assert list(store.segments) == [(NUMBER, Seq(2))]
    assert list(store.bucket.index) == [
        SegmentEntry(Seq(2), Seq(3), 2, Micros(2), Micros(3), Micros(3), Change(3), Change(4), 2)
    ]
    store.apply(delete(3))
    assert list(store.bucket.index) == [
        SegmentEntry(Seq(2), Seq(2), 1, Micros(2), Micros(2), Micros(2), Change(3), Change(3), 3)
    ]


def test_several_edits_of_a_segment_in_one_commit_are_one_write() -> None:
    """The writer encodes it once, however often it changed."""
    store = store_with([event(seq, seq) for seq in range(1, 9)], [1, 2, 3, 4, 5])
    writes = store.apply(delete(2), replace(event(3, 3, 9, WEB)), delete(1), delete(5))
    assert [key for key, write in writes.segments[NUMBER].items() if write is not None] == [3]
    assert store.events() == [event(3, 3, 9, WEB), event(4, 4), event(6, 6), event(7, 7), event(8, 8)]


def test_an_event_that_left_its_segment_can_be_sealed_again_and_is_not_taken_for_what_it_was() -> None:
    """All that an index entry says may be as it was once, but for revision and changes: so a cache never serves what was."""
    store = store_with([event(1, 10, 0, VIM), event(2, 20), event(3, 30)], [1])
    old = store.bucket.index.get(Seq(1))
    store.apply(replace(event(1, 100)), append(event(4, 200)), replace(event(1, 10, 0, WEB)))
    assert homes(store) == {"tail": [4], "head": [1, 2, 3], "sealed": []}
    store.seal([1])
    new = store.bucket.index.get(Seq(1))
    assert old is not None
    assert new is not None
    like_the_old_one = {"revision": old.revision, "min_change": old.min_change, "max_change": old.max_change}
    assert msgspec.structs.replace(new, **like_the_old_one) == old
    assert new != old


# Sealing


def test_sealing_moves_records_and_changes_no_event() -> None:
    """Out of the log, into a segment, in one commit."""
    store = store_with([event(seq, 10 * seq, 1) for seq in range(1, 7)])
    before = store.events()
    writes = store.seal([1, 2, 3])
    assert store.events() == before
    assert writes.records == {NUMBER: {Seq(1): None, Seq(2): None, Seq(3): None}}
    assert list(writes.segments[NUMBER]) == [1]
    assert homes(store) == {"tail": [6], "head": [4, 5], "sealed": [1, 2, 3]}


def test_a_tail_record_that_stayed_behind_is_sealed_later() -> None:
    """After a backfill it may be older by seq than what is sealed: then seq ranges of segments overlap."""
    store = store_with([event(1, 1000), *(event(seq, seq) for seq in range(2, 8))], [2, 3])
    store.apply(append(event(8, 2000)))
    store.seal([1, 4, 5])
    assert homes(store) == {"tail": [8], "head": [6, 7], "sealed": [1, 2, 3, 4, 5]}
    for seq in range(1, 9):
        found = store.bucket.find(Seq(seq), store.load)
        assert found is not None
        assert found.seq == seq


# Buckets and settings


def meta(number: int, bucket_id: str, **changes: Any) -> BucketMeta:
    return msgspec.structs.replace(BucketMeta(BucketNumber(number), bucket_id, "t", "c", "h", Micros(0)), **changes)


def test_a_bucket_is_created_changed_and_deleted() -> None:
    """Each fact is one row; a number is not given again."""
    store = MemoryStore()
    assert store.apply(BucketCreated(meta(1, "a"))).buckets == {NUMBER: meta(1, "a", change=Change(1))}
    store.apply(BucketUpdated(meta(1, "a", hostname="other")))
    assert store.durable.bucket("a").meta.hostname == "other"
    assert store.apply(BucketDeleted(NUMBER)).buckets == {NUMBER: None}
    assert store.durable.find_bucket("a") is None
    assert store.durable.next_bucket_number == 2


def test_a_deleted_bucket_leaves_nothing_behind() -> None:
    """Its log, tail row and segments go with it; a bucket made anew in the same commit begins empty."""
    store = spread()
    writes = store.apply(append(event(8, 99)), delete(1), BucketDeleted(NUMBER), BucketCreated(meta(2, "notes")))
    assert writes.buckets == {NUMBER: None, 2: meta(2, "notes", change=Change(store.staged.next_change - 1))}
    assert writes.tails == {2: TailRow(Seq(1), 1, None)}
    assert not writes.records
    assert not writes.segments
    assert store.segments == {}
    assert store.events(BucketNumber(2)) == []


def test_a_bucket_that_came_and_went_within_a_commit_is_only_a_number() -> None:
    """Made, filled and deleted before anything reached the disk."""
    store = MemoryStore()
    store.apply(BucketCreated(meta(1, "a")), append(event(1)), append(event(2)), BucketDeleted(NUMBER))
    assert store.durable.buckets() == []
    assert store.durable.next_bucket_number == 2


def test_facts_of_one_bucket_leave_the_others() -> None:
    """Equal seqs in two buckets are two events."""
    store = spread()
    other = BucketNumber(2)
    store.apply(BucketCreated(meta(2, "other")), EventAppended(other, event(1, 5, 0, WEB)))
    before = store.events()
    store.apply(EventDeleted(other, Seq(1)))
    assert store.events() == before
    assert store.events(other) == []


def test_a_setting_is_stored_and_removed() -> None:
    """Removing one that is not there is no mistake."""
    store = MemoryStore()
    store.apply(SettingChanged("a", b"false"), SettingChanged("b", b"1"))
    assert store.durable.settings == {"a": b"false", "b": b"1"}
    assert store.apply(SettingChanged("a", None), SettingChanged("c", None)).settings == {"a": None}
    assert store.durable.settings == {"b": b"1"}


# Change numbers


def changes(store: MemoryStore) -> dict[int, int]:
    """The change of each event of the first bucket, by seq."""
    return {one.seq: one.change for one in store.events()}


def test_every_fact_that_a_follower_is_told_of_takes_the_next_change_number() -> None:
    """In the order of the facts, for all buckets and settings together; the newest number stands with each thing."""
    store = store_with([event(1, 10), event(2, 20)])
    assert (store.bucket.meta.change, changes(store)) == (1, {1: 2, 2: 3})
    store.apply(TailExtended(NUMBER, Seq(2), Micros(5)))
    assert changes(store) == {1: 2, 2: 4}
    store.apply(SettingChanged("a", b"1"), BucketUpdated(meta(1, "notes", hostname="other")))
    assert store.bucket.meta.change == 6
    store.apply(replace(event(2, 9), event(1, 30)))
    assert changes(store) == {1: 8, 2: 7}, "of a list of events each takes one, in their order"
    store.apply(append(event(3, 8)))
    assert changes(store) == {1: 8, 2: 7, 3: 9}
    assert store.staged.next_change == 10


def test_what_is_gone_leaves_a_tombstone_under_its_change_number() -> None:
    """Events, settings that were set, buckets with their ids."""
    store = store_with([event(1, 10), event(2, 20)])
    writes = store.apply(delete(2), SettingChanged("a", b"1"), SettingChanged("a", None), SettingChanged("b", None))
    assert writes.tombstones == {4: EventGone(NUMBER, Seq(2)), 6: SettingGone("a")}
    assert store.apply(BucketDeleted(NUMBER)).tombstones == {7: BucketGone(NUMBER, "notes")}
    assert store.staged.next_change == 8


def test_where_an_event_lives_changes_no_number() -> None:
    """A record that is sealed, a tail record that becomes a record, and an heir of the tail record keep theirs."""
    store = store_with([event(seq, 10 * seq) for seq in range(1, 6)])
    before = changes(store)
    store.seal([1, 2, 4])
    assert changes(store) == before
    assert [(entry.min_change, entry.max_change) for entry in store.bucket.index] == [(before[1], before[4])]
    store.apply(delete(5), delete(3), append(event(6, 99)))
    assert {seq: changes(store)[seq] for seq in (1, 2, 4)} == {seq: before[seq] for seq in (1, 2, 4)}
    assert store.staged.next_change == 10


def test_a_long_insert_takes_one_number_an_event_in_the_order_of_arrival() -> None:
    """Those that are laid out as segments beforehand, too; seqs and changes both begin where they were."""
    store = store_with([event(1, 10), event(2, 20)])
    store.apply(TailExtended(NUMBER, Seq(2), Micros(5)))
    sent = [NewEvent(Micros(100 - n), Micros(0), VIM) for n in range(BULK_EVENTS + 5)]
    store.send(InsertEvents("notes", sent))
    assert len(store.bucket.index) == 2
    assert changes(store) == {1: 2, 2: 4} | {3 + n: 5 + n for n in range(len(sent))}
    assert store.staged.next_change == 5 + len(sent)


# Our own mistakes, and damage


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        pytest.param(append(event(7, 99)), "without gaps", id="a seq that was given"),
        pytest.param(append(event(9, 99)), "without gaps", id="a gap in the seqs"),
        pytest.param(
            TailExtended(NUMBER, Seq(6), Micros(99)), "only the tail", id="another than the tail record grows"
        ),
        pytest.param(TailExtended(NUMBER, Seq(7), Micros(1)), "takes time back", id="time is taken back"),
        pytest.param(replace(event(99)), "what is replaced is stored", id="an unknown event is replaced"),
        pytest.param(delete(99), "is deleted", id="an unknown event is deleted"),
        pytest.param(EventAppended(BucketNumber(9), event(1)), "decided against", id="an unknown bucket"),
        pytest.param(BucketCreated(meta(7, "b")), "in order", id="a gap in the bucket numbers"),
        pytest.param(BucketCreated(meta(2, "notes")), "names one bucket", id="a bucket id twice"),
    ],
)
def test_a_fact_that_was_not_decided_on_this_state_is_our_mistake(fact: Fact, says: str) -> None:
    """An assertion that says which rule was broken, not an error that a client could cause."""
    with pytest.raises(AssertionError, match=says):
        spread().apply(fact)


@pytest.mark.parametrize("fact", [delete(1), replace(event(1, 5)), replace(event(1, 500))])
def test_an_edit_of_damaged_history_is_refused(fact: Fact) -> None:
    """The damaged segment is neither served nor written again."""
    store = spread()
    key = (NUMBER, Seq(1))
    store.segments[key] = store.segments[key][:-1] + b"\0"
    with pytest.raises(DataDamaged):
        store.apply(fact)


# All of it together

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), close_starts, short_durations, st.sampled_from(PAYLOADS)),
        st.tuples(st.just("extend"), short_durations),
        st.tuples(st.just("replace"), st.integers(0, 30), close_starts, short_durations, st.sampled_from(PAYLOADS)),
        st.tuples(
            st.just("replace many"),
            st.dictionaries(
                st.integers(0, 30), st.tuples(close_starts, short_durations, st.sampled_from(PAYLOADS)), min_size=2
            ),
        ),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("seal"), st.integers(1, 6)),
    ),
    max_size=24,
)


@given(steps)
def test_any_facts_in_any_order_do_to_a_bucket_what_they_do_to_a_plain_dict(taken: list[tuple[Any, ...]]) -> None:
    """And replaying them into an empty store gives the same store, to the byte."""
    store = store_with()
    model: dict[int, Event] = {}
    for step in taken:
        seqs = sorted(model)
        match step:
            case ("append", start_us, duration_us, payload):
                one = event(store.bucket.next_seq, start_us, duration_us, payload)
                store.apply(append(one))
                model[one.seq] = one
            case ("extend", by_us) if model:
                tail = store.bucket.tail
                assert tail is not None
                store.apply(TailExtended(NUMBER, tail.seq, Micros(tail.duration_us + by_us)))
                model[tail.seq] = msgspec.structs.replace(tail, duration_us=tail.duration_us + by_us)
            case ("replace", at, start_us, duration_us, payload) if model:
                one = event(seqs[at % len(seqs)], start_us, duration_us, payload)
                store.apply(replace(one))
                model[one.seq] = one
            case ("replace many", changes) if model:
                changed = {seqs[at % len(seqs)]: change for at, change in changes.items()}
                ones = [event(seq, *change) for seq, change in changed.items()]
                store.apply(replace(*ones))
                model.update((one.seq, one) for one in ones)
            case ("delete", at) if model:
                store.apply(delete(seqs[at % len(seqs)]))
                del model[seqs[at % len(seqs)]]
            case ("seal", count) if len(store.bucket.head):
                store.seal(one.seq for one in store.bucket.head.oldest(count))
        assert store.events() == [model[seq] for seq in sorted(model)]
    again = MemoryStore()
    again.apply(*store.facts)
    assert contents(again) == contents(store)
