"""R5: `check` proves a store, or names what is wrong with it; it reports damage and never raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from awlog.log.columns import columns_of
from awlog.log.record import encode_record
from awlog.log.segment import encode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.segment_index import entry_of as entry_of_columns
from awlog.log.write_set import BucketGone, EventGone, ProducerRow, SettingGone, SettingRow, TailRow, Tombstone
from awlog.model.access import Grant, Scope, Token
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.check import Report, check, sizes
from tests.engine.harness import Store
from tests.storage.raw import MAIN, Tables, flipped, main_key, tables


def checked(store: Store) -> Report:
    environment = store.environment()
    try:
        return check(environment)
    finally:
        environment.close()


async def test_a_whole_store_has_no_problems(store: Store):
    """And the report says what is in it."""
    report = checked(store)
    assert report.problems == []
    assert {bucket.id: (bucket.events, bucket.segments, bucket.unsealed_records) for bucket in report.buckets} == {
        "main": (16, 3, 4),
        "quiet": (1, 0, 1),
        "empty": (0, 0, 0),
    }
    assert len(report.digest) == 32
    assert report.file_bytes >= report.live_bytes > 0


async def test_sizes_agree_with_the_check(store: Store):
    """The quick look at the index and the full reading count the same."""
    environment = store.environment()
    assert sizes(environment).buckets == check(environment).buckets
    environment.close()


async def test_the_progress_of_a_check_is_told_to_the_end(store: Store):
    told: list[tuple[int, int]] = []
    environment = store.environment()
    check(environment, lambda done, of: told.append((done, of)))
    environment.close()
    assert told == [(1, 3), (2, 3), (3, 3)]


CHECKSUMMED: Final = (
    layout.BUCKETS,
    layout.TAILS,
    layout.LOG,
    layout.SEGMENTS,
    layout.SEGMENT_INDEX,
    layout.SETTINGS,
    layout.PRODUCERS,
    layout.CHANGES,
    layout.TOKENS,
)
PLACES: Final = (0, 3, 4, 9, -1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("table", CHECKSUMMED, ids=lambda table: table.decode())
async def test_a_flipped_bit_in_any_row_is_found(store: Store, table: bytes, place: int):
    """In the checksum itself, in the first numbers, in the last byte; every row of the table in turn."""
    with tables(store.data_dir) as rows:
        keys = rows.keys(table)
    assert keys
    for key in keys:
        with tables(store.data_dir) as rows:
            good = rows.get(table, key)
            rows.put(table, key, flipped(good, place))
        assert checked(store).problems, f"row {key!r}"
        with tables(store.data_dir) as rows:
            rows.put(table, key, good)
    assert checked(store).problems == []


@pytest.mark.parametrize("keep", [0, 1, 3, 4, 11, 27, 40])
@pytest.mark.parametrize("table", CHECKSUMMED, ids=lambda table: table.decode())
async def test_a_row_cut_short_is_found(store: Store, table: bytes, keep: int):
    with tables(store.data_dir) as rows:
        key = rows.keys(table)[-1]
        if len(rows.get(table, key)) <= keep:
            keep = len(rows.get(table, key)) - 1
        rows.change(table, key, lambda value: value[:keep])
    assert checked(store).problems


@pytest.mark.parametrize("table", [t for t in CHECKSUMMED if t != layout.SETTINGS], ids=lambda t: t.decode())
@pytest.mark.parametrize("key", [b"k", b"a key that is too long to be one"])
async def test_a_key_that_is_no_key_is_found(store: Store, table: bytes, key: bytes):
    """Reported like any other damage: a check never ends with an exception."""
    with tables(store.data_dir) as rows:
        rows.put(table, key, b"whatever")
    assert checked(store).problems


def stored(seq: int, start_s: int, duration_s: int = 0, data: str = "made up", *, change: int | None = None) -> Event:
    """Before the events of `main` four buckets were made, one change each."""
    payload = Payload(msgspec.json.encode({"d": data}))
    number = Change(4 + seq if change is None else change)
    return Event(Seq(seq), Micros(start_s * 1_000_000), Micros(duration_s * 1_000_000), payload, number)


def put_record(rows: Tables, key_seq: int, event: Event) -> None:
    rows.put(layout.LOG, main_key(key_seq), encode_record(MAIN, event))  # type: ignore[arg-type]


def put_tail(
    rows: Tables, next_seq: int, tail: Event | None, *, next_revision: int = 100, event_count: int = 16
) -> None:
    row = TailRow(Seq(next_seq), next_revision, tail, event_count)
    rows.put(layout.TAILS, layout.bucket_key(MAIN), layout.encode_tail_row(MAIN, row))  # type: ignore[arg-type]


def entry_of(events: list[Event], **others: int) -> SegmentEntry:
    return msgspec.structs.replace(entry_of_columns(columns_of(events), 90), **others)


def put_segment(rows: Tables, events: list[Event], entry: SegmentEntry | None = None) -> None:
    entry = entry or entry_of(events)
    key = main_key(entry.first_seq)
    rows.put(layout.SEGMENTS, key, encode_segment(columns_of(events), entry.first_seq))
    rows.put(layout.SEGMENT_INDEX, key, layout.encode_entry(MAIN, entry))  # type: ignore[arg-type]


FIRST = [stored(seq, 100 * (seq - 1), 10) for seq in range(1, 5)]


def _segment_without_index(rows: Tables) -> None:
    rows.delete(layout.SEGMENT_INDEX, main_key(5))


def _index_without_segment(rows: Tables) -> None:
    rows.delete(layout.SEGMENTS, main_key(5))


def _segments_swapped(rows: Tables) -> None:
    first, second = rows.get(layout.SEGMENTS, main_key(1)), rows.get(layout.SEGMENTS, main_key(5))
    rows.put(layout.SEGMENTS, main_key(1), second)
    rows.put(layout.SEGMENTS, main_key(5), first)


def _index_says_other_times(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, max_end_us=310_000_001))


def _index_says_an_earlier_start(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, min_start_us=-1))


def _index_says_a_later_start(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, max_start_us=300_000_001))


def _index_says_another_count(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, count=3))


def _index_says_another_last_seq(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, last_seq=5))


def _negative_duration(rows: Tables) -> None:
    put_segment(rows, [*FIRST[:3], stored(4, 300, -1)])


def _seq_in_segment_and_log(rows: Tables) -> None:
    put_record(rows, 3, stored(3, 250))


def _seq_in_two_segments(rows: Tables) -> None:
    put_segment(rows, [*FIRST[:3], stored(6, 500, 10)])


def _seq_of_the_tail_in_the_log(rows: Tables) -> None:
    put_record(rows, 16, stored(16, 20))


def _seq_not_given_out(rows: Tables) -> None:
    put_record(rows, 17, stored(17, 20))


def _seq_zero(rows: Tables) -> None:
    put_record(rows, 0, stored(0, 20))


def _next_seq_too_small(rows: Tables) -> None:
    put_tail(rows, 16, stored(16, 1500, 10))


def _tail_older_than_a_record(rows: Tables) -> None:
    put_record(rows, 13, stored(13, 99_999))


def _tail_as_old_as_a_record_with_a_greater_seq(rows: Tables) -> None:
    put_tail(rows, 17, stored(2, 1500))
    put_segment(rows, [FIRST[0], *FIRST[2:]])
    put_record(rows, 16, stored(16, 1500))


def _tail_older_than_a_sealed_event(rows: Tables) -> None:
    put_segment(rows, [*FIRST[:3], stored(4, 99_999)])


def _tail_as_old_as_a_sealed_event_with_a_greater_seq(rows: Tables) -> None:
    put_tail(rows, 17, stored(2, 1500))
    put_segment(rows, [FIRST[0], *FIRST[2:3], stored(16, 1500)])
    put_record(rows, 4, stored(4, 3))


def _tail_missing(rows: Tables) -> None:
    put_tail(rows, 17, None)


def _tail_row_missing(rows: Tables) -> None:
    rows.delete(layout.TAILS, layout.bucket_key(MAIN))  # type: ignore[arg-type]


def _record_of_an_unknown_bucket(rows: Tables) -> None:
    rows.put(layout.LOG, layout.seq_key(2, 1), encode_record(2, stored(1, 1)))  # type: ignore[arg-type]


def _record_of_another_bucket(rows: Tables) -> None:
    rows.put(layout.LOG, layout.seq_key(3, 1), rows.get(layout.LOG, main_key(13)))  # type: ignore[arg-type]


def _record_under_another_seq(rows: Tables) -> None:
    rows.put(layout.LOG, main_key(13), rows.get(layout.LOG, main_key(14)))


def _segment_of_an_unknown_bucket(rows: Tables) -> None:
    rows.put(layout.SEGMENTS, layout.seq_key(2, 1), rows.get(layout.SEGMENTS, main_key(1)))  # type: ignore[arg-type]


def _index_entry_of_an_unknown_bucket(rows: Tables) -> None:
    entry = layout.encode_entry(2, entry_of(FIRST))  # type: ignore[arg-type]
    rows.put(layout.SEGMENT_INDEX, layout.seq_key(2, 1), entry)  # type: ignore[arg-type]


def _tail_of_an_unknown_bucket(rows: Tables) -> None:
    row = layout.encode_tail_row(2, TailRow(Seq(1), 1, None))  # type: ignore[arg-type]
    rows.put(layout.TAILS, layout.bucket_key(2), row)  # type: ignore[arg-type]


def _bucket_missing(rows: Tables) -> None:
    rows.delete(layout.BUCKETS, layout.bucket_key(MAIN))  # type: ignore[arg-type]


def _two_buckets_of_one_id(rows: Tables) -> None:
    meta = BucketMeta(3, "main", "t", "c", "h", Micros(0))  # type: ignore[arg-type]
    rows.put(layout.BUCKETS, layout.bucket_key(meta.number), layout.encode_bucket(meta))


def _bucket_numbers_given_again(rows: Tables) -> None:
    rows.put(layout.META, layout.NEXT_BUCKET_KEY, layout.with_checksum(layout.NEXT_BUCKET_KEY, b"4"))


def _next_bucket_number_damaged(rows: Tables) -> None:
    rows.change(layout.META, layout.NEXT_BUCKET_KEY, lambda value: flipped(value, -1))


def _next_bucket_number_missing(rows: Tables) -> None:
    rows.delete(layout.META, layout.NEXT_BUCKET_KEY)


def _device_id_damaged(rows: Tables) -> None:
    rows.change(layout.META, layout.DEVICE_KEY, lambda value: flipped(value, -1))


def _put_token(rows: Tables, token_id: str, **changes: Any) -> None:
    given = {
        "name": "n",
        "digest": b"d" * 32,
        "created_us": Micros(1),
        "expires_us": None,
        "grants": (Grant(Scope.READ),),
    }
    token = Token(token_id, **{**given, **changes})
    rows.put(layout.TOKENS, token_id.encode(), layout.encode_token(token_id.encode(), token))


def _two_tokens_of_one_secret(rows: Tables) -> None:
    _put_token(rows, "0" * 12)
    _put_token(rows, "1" * 12)


def _token_without_a_hash(rows: Tables) -> None:
    _put_token(rows, "0" * 12, digest=b"d" * 31)


def _token_for_nothing(rows: Tables) -> None:
    _put_token(rows, "0" * 12, grants=())


def _whether_tokens_are_required_damaged(rows: Tables) -> None:
    rows.change(layout.META, layout.TOKENS_REQUIRED_KEY, lambda value: flipped(value, -1))


def _put_tombstone(rows: Tables, change: int, tombstone: Tombstone) -> None:
    rows.put(layout.CHANGES, layout.change_key(Change(change)), layout.encode_tombstone(Change(change), tombstone))


def _tombstone_of_an_event_that_is_there(rows: Tables) -> None:
    _put_tombstone(rows, 60, EventGone(BucketNumber(MAIN), Seq(3)))


def _tombstone_of_an_event_of_a_bucket_that_never_was(rows: Tables) -> None:
    _put_tombstone(rows, 60, EventGone(BucketNumber(99), Seq(3)))


def _tombstone_of_a_bucket_that_is_there(rows: Tables) -> None:
    _put_tombstone(rows, 60, BucketGone(BucketNumber(MAIN), "main"))


def _tombstone_of_a_setting_that_was_not_set_since(rows: Tables) -> None:
    _put_tombstone(rows, 60, SettingGone("theme"))


def _tombstone_that_was_dropped(rows: Tables) -> None:
    rows.put(layout.META, layout.OLDEST_CHANGE_KEY, layout.encode_oldest_change(Change(60)))


def _oldest_change_damaged(rows: Tables) -> None:
    rows.put(layout.META, layout.OLDEST_CHANGE_KEY, flipped(layout.encode_oldest_change(Change(1)), -1))


def _change_of_two_records(rows: Tables) -> None:
    put_record(rows, 13, stored(13, 1200, 10, change=8))


def _change_of_a_record_and_a_tombstone(rows: Tables) -> None:
    _put_tombstone(rows, 8, SettingGone("a"))


def _record_without_a_change(rows: Tables) -> None:
    put_record(rows, 13, stored(13, 1200, 10, change=0))


def _index_says_another_least_change(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, min_change=4))


def _index_says_another_greatest_change(rows: Tables) -> None:
    put_segment(rows, FIRST, entry_of(FIRST, max_change=9))


DAMAGES: Final = (
    _tombstone_of_an_event_that_is_there,
    _tombstone_of_an_event_of_a_bucket_that_never_was,
    _tombstone_of_a_bucket_that_is_there,
    _tombstone_of_a_setting_that_was_not_set_since,
    _tombstone_that_was_dropped,
    _oldest_change_damaged,
    _change_of_two_records,
    _change_of_a_record_and_a_tombstone,
    _record_without_a_change,
    _index_says_another_least_change,
    _index_says_another_greatest_change,
    _two_tokens_of_one_secret,
    _token_without_a_hash,
    _token_for_nothing,
    _whether_tokens_are_required_damaged,
    _segment_without_index,
    _index_without_segment,
    _segments_swapped,
    _index_says_other_times,
    _index_says_an_earlier_start,
    _index_says_a_later_start,
    _index_says_another_count,
    _index_says_another_last_seq,
    _negative_duration,
    _seq_in_segment_and_log,
    _seq_in_two_segments,
    _seq_of_the_tail_in_the_log,
    _seq_not_given_out,
    _seq_zero,
    _next_seq_too_small,
    _tail_older_than_a_record,
    _tail_as_old_as_a_record_with_a_greater_seq,
    _tail_older_than_a_sealed_event,
    _tail_as_old_as_a_sealed_event_with_a_greater_seq,
    _tail_missing,
    _tail_row_missing,
    _record_of_an_unknown_bucket,
    _record_of_another_bucket,
    _record_under_another_seq,
    _segment_of_an_unknown_bucket,
    _index_entry_of_an_unknown_bucket,
    _tail_of_an_unknown_bucket,
    _bucket_missing,
    _two_buckets_of_one_id,
    _bucket_numbers_given_again,
    _next_bucket_number_damaged,
    _next_bucket_number_missing,
    _device_id_damaged,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_").replace("_", " "))
async def test_what_no_checksum_sees_is_found(store: Store, damage: Callable[[Tables], None]):
    """Every row of these stores matches its checksum, or is gone: it is what the rows say together that cannot be."""
    with tables(store.data_dir) as rows:
        damage(rows)
    problems = checked(store).problems
    assert problems
    assert all("title" not in problem for problem in problems), "S13: recorded data stays out of error texts"


async def test_problems_name_their_place(store: Store):
    """Bucket and seq of each damaged segment, of all of them."""
    with tables(store.data_dir) as rows:
        for seq in (1, 9):
            rows.change(layout.SEGMENTS, main_key(seq), lambda value: flipped(value, -1))
    problems = checked(store).problems
    assert len(problems) == 2
    assert all(f"Segment {seq} of bucket number 1" in problem for seq, problem in zip((1, 9), problems, strict=True))


def _one_record_fewer(rows: Tables) -> None:
    rows.delete(layout.LOG, main_key(13))
    put_tail(rows, 17, stored(16, 1500, 11, "title 3"), event_count=15)


@pytest.mark.parametrize("table", [layout.LOG, layout.SEGMENT_INDEX], ids=lambda table: table.decode())
async def test_a_row_that_a_page_has_lost_is_missed(store: Store, table: bytes):
    """No checksum sees it: the bucket's row in `tails` counts its events."""
    for key in [key for key in keys_of(store, table) if layout.split_seq_key(key)[0] == MAIN]:
        with tables(store.data_dir) as rows:
            good = rows.get(table, key)
            rows.delete(table, key)
            sealed = rows.get(layout.SEGMENTS, key) if table == layout.SEGMENT_INDEX else b""
            if sealed:
                rows.delete(layout.SEGMENTS, key)
        assert any("of its 16 events" in problem for problem in checked(store).problems)
        with tables(store.data_dir) as rows:
            rows.put(table, key, good)
            if sealed:
                rows.put(layout.SEGMENTS, key, sealed)
    assert checked(store).problems == []


def keys_of(store: Store, table: bytes) -> list[bytes]:
    with tables(store.data_dir) as rows:
        return rows.keys(table)


async def test_the_digest_says_what_is_stored_and_not_where(store: Store):
    """C5: the same events in other places give the same digest; another event, setting or next seq another one."""
    digest = checked(store).digest
    with tables(store.data_dir) as rows:
        put_tail(rows, 17, stored(16, 1500, 10, "title 3"), next_revision=55)
    assert checked(store).digest == digest
    changes: list[Callable[[Tables], None]] = [
        lambda rows: put_tail(rows, 18, stored(16, 1500, 10, "title 3")),
        lambda rows: put_tail(rows, 17, stored(16, 1500, 11, "title 3")),
        lambda rows: put_record(rows, 13, stored(13, 1200, 10, "other")),
        _one_record_fewer,
        lambda rows: rows.delete(layout.SETTINGS, b"theme"),
        lambda rows: rows.put(layout.SETTINGS, b"theme", layout.encode_setting(b"theme", SettingRow(b"1", Change(60)))),
        lambda rows: rows.delete(layout.PRODUCERS, b"phone"),
        lambda rows: rows.put(layout.META, layout.NEXT_BUCKET_KEY, layout.with_checksum(layout.NEXT_BUCKET_KEY, b"9")),
    ]
    seen = {digest}
    for change in changes:
        with tables(store.data_dir) as rows:
            change(rows)
        report = checked(store)
        assert report.problems == []
        assert report.digest not in seen
        seen.add(report.digest)


@pytest.mark.parametrize(("turn", "last_sequence"), [(1, 9), (0, 9), (3, 0)])
async def test_a_producer_with_an_impossible_row_is_found(store: Store, turn: int, last_sequence: int):
    """Turns and sequences begin at 1, and no two producers have one turn."""
    with tables(store.data_dir) as rows:
        rows.put(layout.PRODUCERS, b"laptop", layout.encode_producer(b"laptop", ProducerRow(turn, last_sequence)))
    assert any("producer" in problem for problem in checked(store).problems)
