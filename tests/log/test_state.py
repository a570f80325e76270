"""What the state says of its buckets, and how the durable one follows."""

from __future__ import annotations

import pytest

from awlog.log.apply import apply
from awlog.log.state import State
from awlog.log.write_set import TailRow, WriteSet
from awlog.model.bucket import BucketMeta
from awlog.model.errors import NoSuchBucket
from awlog.model.event import BucketNumber, Event, Seq
from awlog.model.facts import BucketCreated, EventDeleted, EventsReplaced, SettingChanged
from awlog.model.times import Micros
from tests.log.events import event
from tests.log.memory_store import NUMBER, contents_of, store_with


def meta(number: int, bucket_id: str) -> BucketMeta:
    return BucketMeta(BucketNumber(number), bucket_id, "t", "c", "h", Micros(0))


@pytest.mark.parametrize("sealed", [(), ([1],), ([1], [2, 3])], ids=["in the head", "partly sealed", "sealed"])
def test_the_span_of_a_bucket_is_exact_and_shrinks_when_events_go(sealed: tuple[list[int], ...]) -> None:
    """The least start and the greatest end of what it holds now, whichever event has them."""
    store = store_with([event(1, 10, 1000), event(2, -50, 10), event(3, 20), event(4, 100, 5)], *sealed)
    spans = []
    for seq in (1, 2, 4, 3):
        spans.append((store.bucket.start_us(), store.bucket.end_us(), store.bucket.event_count()))
        store.apply(EventDeleted(NUMBER, Seq(seq)))
    assert spans == [(-50, 1010, 4), (-50, 105, 3), (20, 105, 2), (20, 20, 1)]
    assert (store.bucket.start_us(), store.bucket.end_us(), store.bucket.event_count()) == (None, None, 0)


def test_an_event_is_found_by_its_seq_wherever_it_lives() -> None:
    """Only for a sealed one a segment is opened, and only one whose seqs reach around it."""
    store = store_with([event(seq, seq) for seq in range(1, 8)], [1, 3], [2, 4])
    found = {seq: store.bucket.find(Seq(seq), store.load) for seq in range(9)}
    assert found == {0: None, 8: None, **{seq: event(seq, seq) for seq in range(1, 8)}}
    store.loaded.clear()
    for seq in (5, 6, 7, 8, 0):
        store.bucket.find(Seq(seq), store.load)
    assert store.loaded == []
    store.bucket.find(Seq(1), store.load)
    assert [entry.first_seq for entry in store.loaded] == [1]


def test_buckets_are_listed_oldest_first() -> None:
    """By number, not by name."""
    state = State()
    for number, bucket_id in ((1, "b"), (2, "c"), (3, "a")):
        state.add_bucket(meta(number, bucket_id))
    state.remove_bucket(BucketNumber(2))
    assert [bucket.meta.id for bucket in state.buckets()] == ["b", "a"]
    with pytest.raises(NoSuchBucket, match="'c'"):
        state.bucket("c")


def test_an_id_may_move_to_another_number_within_one_write_set() -> None:
    """Deleted and made anew: the durable state ends with the new bucket, empty."""
    state = State()
    first = WriteSet(buckets={NUMBER: meta(1, "a")}, tails={NUMBER: TailRow(Seq(2), 1, event(1))})
    state.absorb(first)
    second = WriteSet(
        buckets={NUMBER: None, BucketNumber(2): meta(2, "a")}, tails={BucketNumber(2): TailRow(Seq(1), 1, None)}
    )
    state.absorb(second)
    assert state.bucket("a").number == 2
    assert state.bucket("a").tail is None
    assert state.numbered(NUMBER) is None


@pytest.mark.parametrize("count", [1, 255, 256, 600])
def test_many_records_are_absorbed_as_few_are(count: int) -> None:
    """Put, replaced and removed, known and unknown; from some hundred on the head is built anew."""
    state = State()
    state.absorb(WriteSet(buckets={NUMBER: meta(1, "a")}, tails={NUMBER: TailRow(Seq(5000), 1, event(4999, 10**6))}))
    put: dict[Seq, Event | None] = {Seq(seq): event(seq, seq, 50 if seq == 1 else 0) for seq in range(1, count + 1)}
    state.absorb(WriteSet(records={NUMBER: dict(put)}))
    head = state.bucket("a").head
    assert sorted(head, key=lambda one: one.seq) == list(put.values())
    changed: dict[Seq, Event | None] = {
        seq: (None if seq % 3 == 1 else event(seq, -seq) if seq % 3 == 2 else event(seq, seq)) for seq in put
    }
    changed[Seq(4000)] = None
    state.absorb(WriteSet(records={NUMBER: changed}))
    assert sorted(head, key=lambda one: one.seq) == [one for one in changed.values() if one is not None]
    assert head.min_start_us() == min((one.start_us for one in head), default=None)
    assert head.max_end_us() == max((one.end_us for one in head), default=None)


def test_an_empty_write_set_says_so() -> None:
    """Then no transaction is needed."""
    assert not WriteSet()
    for writes in (
        WriteSet(buckets={NUMBER: None}),
        WriteSet(tails={NUMBER: TailRow(Seq(1), 1, None)}),
        WriteSet(records={NUMBER: {Seq(1): None}}),
        WriteSet(segments={NUMBER: {Seq(1): None}}),
        WriteSet(settings={"key": None}),
    ):
        assert writes


def test_a_copy_of_the_state_goes_its_own_way() -> None:
    """Facts on the copy leave the original, and the other way round: so half a decision can be thrown away."""
    store = store_with([event(seq, 10 * seq, 5) for seq in range(1, 7)], [1, 2])
    store.apply(SettingChanged("key", b"1"))
    before = contents_of(store.durable)
    copied = store.durable.copy()
    assert contents_of(copied) == before
    for fact in (
        EventDeleted(NUMBER, Seq(6)),
        EventDeleted(NUMBER, Seq(1)),
        EventsReplaced(NUMBER, [event(4, 400)]),
        SettingChanged("key", None),
        BucketCreated(meta(2, "other")),
    ):
        apply(copied, fact, WriteSet(), store.load)
    assert contents_of(copied) != before
    assert contents_of(store.durable) == before
