"""What a commit wrote is what a start reads: every kind of row, put and removed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from awlog.log.columns import columns_of
from awlog.log.segment_index import SegmentEntry, entry_of
from awlog.log.write_set import ProducerRow, SegmentWrite, SettingRow, TailRow, WriteSet
from awlog.model.bucket import BucketMeta
from awlog.model.commands import ChangeSetting, DeleteBucket, DeleteEvent, Producer, SendHeartbeats
from awlog.model.event import SEQ_MAX, UNNUMBERED, BucketNumber, Change, Event, Payload, Seq, event_id
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.storage import layout
from awlog.storage.environment import Environment, create_if_new
from awlog.storage.recovery import recover
from awlog.storage.snapshot import Snapshot
from awlog.storage.writer import Writer
from tests.engine.harness import Store, beat, create, event, insert
from tests.storage.raw import tables

ONE, TWO, THREE = BucketNumber(1), BucketNumber(2), BucketNumber(3)
LAST = BucketNumber((1 << 21) - 1)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A store in which nothing was ever written."""
    create_if_new(tmp_path)
    opened = Environment(tmp_path)
    yield opened
    opened.close()


def meta(number: BucketNumber, bucket_id: str = "", **others: Any) -> BucketMeta:
    made = BucketMeta(number, bucket_id or f"bucket {number}", "type", "client", "host", Micros(17))
    return msgspec.structs.replace(made, **others)


def stored(seq: int, start_us: int = 0, duration_us: int = 0, payload: bytes = b"{}") -> Event:
    return Event(Seq(seq), Micros(start_us), Micros(duration_us), Payload(payload))


def bucket(*numbers: BucketNumber) -> WriteSet:
    """The rows that every bucket has."""
    writes = WriteSet(next_bucket_number=BucketNumber(max(numbers) + 1))
    for number in numbers:
        writes.buckets[number] = meta(number)
        writes.tails[number] = TailRow(Seq(1), 1, None)
    return writes


def count_the_events(environment: Environment) -> None:
    """These write sets are made by hand: what their rows in `tails` say of the whole bucket is put right."""
    tails = environment.databases[layout.TAILS]
    with environment.lmdb.begin(write=True) as txn:
        counts: Counter[BucketNumber] = Counter()
        for key, _ in txn.cursor(environment.databases[layout.LOG]):
            counts[layout.split_seq_key(key)[0]] += 1
        for key, value in txn.cursor(environment.databases[layout.SEGMENT_INDEX]):
            counts[layout.split_seq_key(key)[0]] += layout.decode_entry(key, value).count
        for key, value in list(txn.cursor(tails)):
            number = layout.bucket_number_of(key)
            row = layout.decode_tail_row(number, value)
            counted = replace(row, event_count=counts[number] + (row.tail is not None))
            txn.put(key, layout.encode_tail_row(number, counted), db=tails)


def recovered_after(environment: Environment, *commits: WriteSet) -> WriteSet:
    writer = Writer(environment)
    for writes in commits:
        writer.commit(writes)
    count_the_events(environment)
    found = recover(environment).writes
    for number, row in found.tails.items():
        found.tails[number] = replace(row, event_count=0)
    assert found.next_change >= 1
    return replace(found, next_change=UNNUMBERED)


METAS = [
    meta(ONE),
    meta(ONE, type="", client="", hostname=""),
    meta(ONE, name="a name", data=Payload(b'{"a":[1,{"b":null}]}')),
    meta(ONE, "Fenster-Wächter 窓 🪟", hostname="π", name=""),
    meta(ONE, "x" * 1024, created_us=TIME_MIN_US),
    meta(ONE, created_us=TIME_MAX_US),
    meta(LAST),
]


@pytest.mark.parametrize("written", METAS)
def test_bucket_metadata(environment: Environment, written: BucketMeta):
    writes = WriteSet(next_bucket_number=BucketNumber(written.number + 1))
    writes.buckets[written.number] = written
    writes.tails[written.number] = TailRow(Seq(1), 1, None)
    assert recovered_after(environment, writes) == writes


EVENTS = [
    stored(1),
    stored(1, -1, 1, b'{"title":"caf\xc3\xa9"}'),
    stored(SEQ_MAX, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US),
    stored(77, TIME_MAX_US, 0, b'{"long":"' + b"x" * 100_000 + b'"}'),
    stored(2, 0, 0, b'{"nul":"\\u0000"}'),
]


@pytest.mark.parametrize("tail", [None, *EVENTS], ids=str)
def test_tail_rows(environment: Environment, tail: Event | None):
    writes = bucket(ONE)
    writes.tails[ONE] = TailRow(Seq(SEQ_MAX + 1), 99, tail)
    assert recovered_after(environment, writes) == writes


def test_records(environment: Environment):
    """Of several buckets, in any order of their seqs."""
    writes = bucket(ONE, TWO, LAST)
    for number in (ONE, LAST):
        for each in EVENTS[1:]:
            writes.put_record(number, each)
    writes.put_record(TWO, stored(5))
    assert recovered_after(environment, writes) == writes


def entry(first_seq: int) -> SegmentEntry:
    return SegmentEntry(
        Seq(first_seq), Seq(first_seq + 3), 2, Micros(-5), Micros(8), Micros(9), Change(0), Change(0), 4
    )


@pytest.mark.parametrize(
    ("events", "revision"),
    [
        ([stored(1)], 1),
        ([stored(1, 5, 14, b'{"k":1}'), stored(2, -5, 1), stored(9, 7)], 4),
        ([stored(SEQ_MAX - 3), stored(SEQ_MAX)], (1 << 32) - 1),
        ([stored(1, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US), stored(4, TIME_MAX_US)], 1),
    ],
    ids=["one event", "several", "the last seqs", "all of time"],
)
def test_index_entries_and_their_segments(environment: Environment, events: list[Event], revision: int):
    """Recovery reads the entry and leaves the segment alone; a snapshot reads the segment."""
    columns = columns_of(events)
    written = entry_of(columns, revision)
    writes = bucket(ONE)
    writes.put_segment(ONE, SegmentWrite(written, columns=columns))
    assert recovered_after(environment, writes).segments == {ONE: {written.first_seq: SegmentWrite(written)}}
    with environment.reading() as txn:
        assert Snapshot(txn, environment).segment(ONE, written).events() == columns.events()


@pytest.mark.parametrize("key", ["k", "k" * 127, "grün", "a b/c%"])
@pytest.mark.parametrize("value", [b"0", b"null", b'""', b'"' + b"x" * 70_000 + b'"'], ids=len)
def test_settings(environment: Environment, key: str, value: bytes):
    writes = WriteSet(next_bucket_number=BucketNumber(1), settings={key: SettingRow(value, Change(3))})
    assert recovered_after(environment, writes) == writes


def test_an_empty_store(environment: Environment):
    assert recover(environment).writes == WriteSet(next_bucket_number=BucketNumber(1), next_change=Change(1))


def test_removed_rows_are_gone_and_their_neighbours_stay(environment: Environment):
    """One record, one segment, one setting of several."""
    first = bucket(ONE)
    for seq in range(1, 6):
        first.put_record(ONE, stored(seq))
        start = 100 * seq
        first.put_segment(ONE, SegmentWrite(entry(start), columns=columns_of([stored(start), stored(start + 3)])))
    first.settings.update({key: SettingRow(b"1", Change(at)) for at, key in enumerate("abc", start=1)})
    second = WriteSet(settings={"b": None})
    second.drop_record(ONE, Seq(3))
    second.drop_segment(ONE, Seq(300))
    found = recovered_after(environment, first, second)
    assert sorted(found.records[ONE]) == [1, 2, 4, 5]
    assert sorted(found.segments[ONE]) == [100, 200, 400, 500]
    assert sorted(found.settings) == ["a", "c"]
    with environment.lmdb.begin() as txn:
        assert txn.get(layout.seq_key(ONE, Seq(300)), db=environment.databases[layout.SEGMENTS]) is None


def test_a_removed_bucket_takes_all_of_its_rows_and_none_of_its_neighbours(environment: Environment):
    """Hundreds of records and segments of the bucket in the middle, whose keys fill several pages."""
    first = bucket(ONE, TWO, THREE)
    for number in (ONE, TWO, THREE):
        for seq in range(1, 400):
            first.put_record(number, stored(seq, payload=b'{"t":"' + b"x" * 50 + b'"}'))
        for seq in range(1000, 1200, 4):
            columns = columns_of([stored(seq), stored(seq + 3)])
            first.put_segment(number, SegmentWrite(entry(seq), columns=columns))
    second = WriteSet()
    second.drop_bucket(TWO)
    found = recovered_after(environment, first, second)
    assert (
        sorted(found.buckets) == sorted(found.tails) == sorted(found.records) == sorted(found.segments) == [ONE, THREE]
    )
    assert all(len(found.records[number]) == 399 for number in (ONE, THREE))
    assert all(len(found.segments[number]) == 50 for number in (ONE, THREE))
    with environment.lmdb.begin() as txn:
        keys = [bytes(key) for key in txn.cursor(environment.databases[layout.SEGMENTS]).iternext(values=False)]
    assert {layout.bucket_number_of(key[:4]) for key in keys} == {ONE, THREE}
    assert found.next_bucket_number == 4, "numbers are never given again"


def test_equal_payloads_are_one_object_in_memory(environment: Environment):
    """Titles repeat: a head of thousands of records must not hold thousands of copies."""
    writes = bucket(ONE)
    for seq in range(1, 10):
        writes.put_record(ONE, stored(seq, payload=b'{"title":"the same"}'))
    found = recovered_after(environment, writes)
    assert len({id(event.payload) for event in found.records[ONE].values() if event is not None}) == 1


def test_recovery_says_which_transaction_it_read(environment: Environment):
    writer = Writer(environment)
    assert [writer.commit(bucket(ONE)), writer.commit(bucket(ONE, TWO))][-1] == recover(environment).txn_id


async def test_the_mark_of_a_clean_stop(store: Store):
    """There after a stop, gone with the first commit, and not put by a crash."""

    def is_clean() -> bool:
        environment = store.environment()
        try:
            return recover(environment).clean
        finally:
            environment.close()

    assert is_clean()
    engine = await store.open()
    assert recover(engine.environment).clean, "opening alone changes nothing"
    await engine.submit(beat("quiet", 500))
    assert not recover(engine.environment).clean
    engine = await store.crash()
    assert not recover(engine.environment).clean
    await store.close()
    assert is_clean()


async def test_a_commit_that_failed_first_does_not_keep_the_mark(store: Store):
    """The mark goes with the first commit that succeeds, not with the first one tried."""
    from awlog.model.errors import Unavailable

    engine = await store.open()
    store.disk.fail_next(Unavailable("no"))
    with pytest.raises(Unavailable):
        await engine.submit(beat("quiet", 500))
    await engine.submit(beat("quiet", 500))
    assert not recover(engine.environment).clean
    await store.close()


async def test_rows_that_this_version_does_not_know_are_kept(store: Store):
    """U5: unknown keys of `meta` outlive starts, writes and stops."""
    with tables(store.data_dir) as rows:
        rows.put(layout.META, b"from the future", b"kept")
    engine = await store.open()
    await engine.submit(create("new"))
    await engine.submit(insert("new", event(1)))
    await store.close()
    with tables(store.data_dir) as rows:
        assert rows.get(layout.META, b"from the future") == b"kept"


def test_producers(environment: Environment):
    """The last row of each; those that were forgotten are gone; the numbers go up to the greatest of 8 bytes."""
    first = WriteSet(
        producers={"a": ProducerRow(1, 10), "b": ProducerRow(2, 1), "Gerät": ProducerRow(3, (1 << 64) - 1)}
    )
    second = WriteSet(producers={"b": None, "a": ProducerRow(4, 11)})
    found = recovered_after(environment, first, second).producers
    assert found == {"a": ProducerRow(4, 11), "Gerät": ProducerRow(3, (1 << 64) - 1)}


async def test_a_start_goes_on_where_each_producer_was(store: Store):
    """Their order, who comes next to be forgotten, and the next turn are those of before."""
    engine = await store.open()
    await engine.submit_heartbeats(SendHeartbeats([None, None], Producer("phone", 8)))
    before = engine.durable_state
    after = (await store.restart()).durable_state
    assert list(after.producers.items()) == list(before.producers.items())
    assert after.producers == {"laptop": ProducerRow(2, 1), "phone": ProducerRow(3, 9)}
    assert (after.next_turn, before.next_turn) == (4, 4)
    await store.close()


async def test_a_start_goes_on_behind_the_greatest_change_number(store: Store):
    """Wherever it stands: at the tail record, a setting, a bucket, or only at the tombstone of what is gone."""
    engine = await store.open()
    for command in (
        beat("quiet", 55),
        insert("main", event(1)),
        ChangeSetting("theme", b"1"),
        ChangeSetting("theme", None),
        create("one more"),
        DeleteEvent("main", event_id(BucketNumber(1), Seq(16))),
        DeleteBucket("main"),
    ):
        await engine.submit(command)
        before = engine.durable_state.next_change
        engine = await store.restart()
        assert engine.durable_state.next_change == before
        engine = await store.crash()
        assert engine.durable_state.next_change == before
    await store.close()
