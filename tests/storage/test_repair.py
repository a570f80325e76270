"""R5: `awlog repair` makes a whole store of a damaged one: never garbage, never less than the undamaged part."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from awlog.log.record import encode_record
from awlog.log.segment import decode_segment
from awlog.log.state import State
from awlog.model.commands import DeleteEvent
from awlog.model.errors import CannotStart, Refused
from awlog.model.event import BucketNumber, Event, event_id
from awlog.storage import layout
from awlog.storage.check import check
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.identity import IDENTITY_FILE, read_identity
from awlog.storage.pages import Node, PageFile
from awlog.storage.recovery import recover
from awlog.storage.repair import REPORT_FILE, RepairReport, repair
from awlog.storage.salvage import require_usable_pages
from awlog.storage.snapshot import open_snapshot
from awlog.storage.writer import Writer
from tests.engine.harness import Store, event, insert
from tests.storage.raw import MAIN, flipped, main_key, tables
from tests.storage.test_backup import digest, names
from tests.storage.test_rehearsal import _half, _noise, _one_bit, _zeroed

PAGE_BYTES = 4096
Events = dict[tuple[BucketNumber, int], Event]


def events_of(data_dir: Path) -> Events:
    """All events of a store that is whole, by bucket number and seq."""
    environment = Environment(data_dir, read_only=True)
    try:
        assert check(environment).problems == []
        state, found = State(), Events()
        state.absorb(recover(environment).writes)
        with open_snapshot(environment) as snapshot:
            for bucket in state.buckets():
                recent = [*bucket.head, *([bucket.tail] if bucket.tail is not None else [])]
                sealed = [e for entry in bucket.index for e in snapshot.segment(bucket.number, entry).events()]
                found |= {(bucket.number, one.seq): one for one in (*recent, *sealed)}
        return found
    finally:
        environment.close()


def events_on_pages(path: Path) -> dict[int, set[tuple[BucketNumber, int]]]:
    """Which events have bytes on which page of a whole file."""
    found: dict[int, set[tuple[BucketNumber, int]]] = {}
    content = path.read_bytes()
    file = PageFile(path)
    for name, root in file.tables(lambda _: None).items():
        if name not in (layout.LOG, layout.TAILS, layout.SEGMENTS):
            continue
        for node in file.nodes(root, lambda _: None):
            value = file.value(node)
            if name == layout.TAILS:
                number = layout.bucket_number_of(node.key)
                tail = layout.decode_tail_row(number, value).tail
                events = set() if tail is None else {(number, int(tail.seq))}
            elif name == layout.LOG:
                number, seq = layout.split_seq_key(node.key)
                events = {(number, int(seq))}
            else:
                number, seq = layout.split_seq_key(node.key)
                columns = decode_segment(value, seq, None, "")
                events = {(number, one) for one in columns.seq.tolist()}
            for page in pages_of(content, node):
                found.setdefault(page, set()).update(events)
    file.close()
    return found


def pages_of(content: bytes, node: Node) -> set[int]:
    """The page that holds the key, wherever that stands, and those of its value."""
    pages = {at // PAGE_BYTES for at in places(content, node.key)}
    if node.value is None:
        count = -(-(16 + node.length) // PAGE_BYTES)
        pages |= set(range(node.first_page, node.first_page + count))
    return pages


def places(content: bytes, key: bytes) -> list[int]:
    found, at = [], content.find(key)
    while at >= 0:
        found.append(at)
        at = content.find(key, at + 1)
    return found


def repaired(store: Store, target: Path) -> RepairReport:
    report = repair(store.data_dir, target)
    assert (target / REPORT_FILE).exists()
    assert [name for name in names(target) if "making" in name] == []
    return report


def test_of_a_whole_store_nothing_is_lost(store: Store, tmp_path: Path):
    """The same content, to the last number, and the same device."""
    report = repaired(store, tmp_path / "new")
    assert report.lost == []
    assert report.digest == digest(tmp_path / "new") == digest(store.data_dir)
    assert read_identity(tmp_path / "new") == read_identity(store.data_dir)


async def test_a_value_that_became_shorter_in_one_transaction_is_whole(store: Store, tmp_path: Path):
    """Where compaction catches up, many commits are one transaction: LMDB then leaves a shorter value in the pages of the
    longer one.
    """
    engine = await store.open()
    first, last = (await engine.ids("main"))[0::15]
    for length in (20_000, 5_000):
        text = random.Random(length).randbytes(length).hex()
        await engine.submit(insert("main", event(0, 10, text, first), event(1500, 10, text, last)))
    await store.close()
    environment = store.environment()
    Writer(environment).commit_all(store.disk.committed[-2:])
    environment.close()
    require_usable_pages(store.data_dir)
    assert repaired(store, tmp_path / "new").lost == []
    assert digest(tmp_path / "new") == digest(store.data_dir)


@pytest.mark.parametrize("damage", [_zeroed, _noise, _one_bit, _half], ids=lambda damage: damage.__name__.strip("_"))
def test_each_page_damaged_in_turn_costs_no_more_than_what_was_on_it(
    store: Store, tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]
):
    """What is left is what was there, and what is missing is in the report."""
    path = store.data_dir / DATA_FILE
    good, right, on_pages = path.read_bytes(), events_of(store.data_dir), events_on_pages(path)
    chance = random.Random(2)
    lost_something = 0
    for number, at in enumerate(range(2 * PAGE_BYTES, len(good), PAGE_BYTES), start=2):
        path.write_bytes(good[:at] + damage(good[at : at + PAGE_BYTES], chance) + good[at + PAGE_BYTES :])
        target = tmp_path / f"new{number}"
        report = repaired(store, target)
        left = events_of(target)
        assert left.items() <= right.items(), "nothing that was never there"
        missing = right.keys() - left.keys()
        assert missing <= on_pages.get(number, set()), f"page {number}"
        assert not missing or report.lost, "what is missing is told"
        lost_something += bool(missing)
        shutil.rmtree(target)
    path.write_bytes(good)
    assert lost_something or damage is _one_bit, "some page was in use"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("damage", [_zeroed, _noise], ids=lambda damage: damage.__name__.strip("_"))
def test_with_one_meta_page_the_store_is_that_of_a_transaction_before(
    store: Store, tmp_path: Path, damage: Callable[[bytes, random.Random], bytes], number: int
):
    """The last one of this store marked it clean: no event was lost with it. That it may have been another is said."""
    path = store.data_dir / DATA_FILE
    good, right = path.read_bytes(), events_of(store.data_dir)
    page = damage(good[number * PAGE_BYTES : (number + 1) * PAGE_BYTES], random.Random(3))
    path.write_bytes(good[: number * PAGE_BYTES] + page + good[(number + 1) * PAGE_BYTES :])
    report = repaired(store, tmp_path / "new")
    assert events_of(tmp_path / "new") == right
    assert any("meta page" in loss.what for loss in report.lost)


def test_what_cannot_be_read_at_all_is_refused_in_words(store: Store, tmp_path: Path):
    """And nothing is made."""
    path = store.data_dir / DATA_FILE
    good = path.read_bytes()
    for content in (b"", b"text", bytes(len(good)), bytes(2 * PAGE_BYTES) + good[2 * PAGE_BYTES :]):
        path.write_bytes(content)
        with pytest.raises(CannotStart, match="Restore a backup"):
            repair(store.data_dir, tmp_path / "new")
        assert not (tmp_path / "new" / DATA_FILE).exists()


@pytest.mark.parametrize("kept", [3, 5, 8, 12, 16])
def test_of_a_file_that_was_cut_off_the_rest_is_kept(store: Store, tmp_path: Path, kept: int):
    """What stood on the pages that are there."""
    path = store.data_dir / DATA_FILE
    right, on_pages = events_of(store.data_dir), events_on_pages(path)
    path.write_bytes(path.read_bytes()[: kept * PAGE_BYTES + 100])
    try:
        repaired(store, tmp_path / "new")
    except CannotStart:
        return
    left = events_of(tmp_path / "new")
    assert left.items() <= right.items()
    gone = set().union(*(events for page, events in on_pages.items() if page >= kept))
    assert right.keys() - left.keys() <= gone


def test_erased_events_do_not_come_back(store: Store, tmp_path: Path):
    """Old pages still hold them; they are free, and known to be so."""

    async def erase() -> None:
        engine = await store.open()
        stored = await engine.submit(insert("main", *(event(9_000 + n, 1, f"canary-{n}") for n in range(5))))
        for gone in stored.events:
            await engine.submit(DeleteEvent("main", event_id(stored.bucket_number, gone.seq)))
        await store.close()

    import asyncio

    asyncio.run(erase())
    path = store.data_dir / DATA_FILE
    good = path.read_bytes()
    assert b"canary" in good, "else this test shows nothing"
    for number, at in enumerate(range(2 * PAGE_BYTES, len(good), PAGE_BYTES)):
        path.write_bytes(good[:at] + bytes(PAGE_BYTES) + good[at + PAGE_BYTES :])
        repaired(store, tmp_path / f"new{number}")
        assert b"canary" not in (tmp_path / f"new{number}" / DATA_FILE).read_bytes()


def test_a_damaged_segment_is_named_with_its_seqs_and_times(store: Store, tmp_path: Path):
    """And its events are the only ones that are missing."""
    right = events_of(store.data_dir)
    with tables(store.data_dir) as rows:
        rows.change(layout.SEGMENTS, main_key(5), lambda value: flipped(value, -1))
    report = repaired(store, tmp_path / "new")
    (loss,) = report.lost
    assert (loss.bucket_id, loss.first_seq, loss.last_seq, loss.events) == ("main", 5, 8, 4)
    assert loss.text() == (
        "a segment, bucket number 1 ('main'), 4 events, seqs 5 to 8, "
        "from 1970-01-01T00:06:40+00:00 to 1970-01-01T00:11:50+00:00"
    )
    assert right.keys() - events_of(tmp_path / "new").keys() == {(MAIN, seq) for seq in range(5, 9)}


async def test_ids_that_were_lost_are_not_given_again(store: Store, tmp_path: Path):
    """Without the row that counts them, seqs and bucket numbers go on far behind the greatest that is left."""
    with tables(store.data_dir) as rows:
        rows.delete(layout.TAILS, layout.bucket_key(BucketNumber(MAIN)))
        rows.delete(layout.META, layout.NEXT_BUCKET_KEY)
        rows.put(layout.LOG, layout.seq_key(*(3, 3)), encode_record(*(3, Event(*(3, 0, 0, b"{}", 90)))))  # type: ignore[arg-type]
    repaired(store, tmp_path / "new")
    new = Store(tmp_path / "new")
    engine = await new.open()
    before = await engine.ids("main")
    (stored,) = (await engine.submit(insert("main", event(99_000)))).events
    assert stored.seq > max(before) % (1 << 32) + 10_000
    await new.close()


def test_a_segment_without_its_entry_keeps_its_events(store: Store, tmp_path: Path):
    right = events_of(store.data_dir)
    with tables(store.data_dir) as rows:
        rows.delete(layout.SEGMENT_INDEX, main_key(5))
        rows.delete(layout.BUCKETS, layout.bucket_key(BucketNumber(MAIN)))
    report = repaired(store, tmp_path / "new")
    assert events_of(tmp_path / "new") == right
    assert any("new name" in loss.what for loss in report.lost)


def test_unknown_tables_are_kept(store: Store, tmp_path: Path):
    """U5."""
    environment = lmdb.open(str(store.data_dir), max_dbs=32)
    with environment.begin(write=True) as txn:
        txn.put(b"k", b"v" * 9000, db=environment.open_db(b"of_tomorrow", txn=txn))
    environment.close()
    repaired(store, tmp_path / "new")
    environment = lmdb.open(str(tmp_path / "new"), max_dbs=32)
    with environment.begin() as txn:
        assert txn.get(b"k", db=environment.open_db(b"of_tomorrow", txn=txn)) == b"v" * 9000
    environment.close()


def test_a_store_is_never_overwritten_and_the_old_one_never_changed(store: Store, tmp_path: Path):
    before = {name: (store.data_dir / name).read_bytes() for name in (DATA_FILE, IDENTITY_FILE)}
    repaired(store, tmp_path / "new")
    assert {name: (store.data_dir / name).read_bytes() for name in before} == before
    with pytest.raises(Refused, match="nothing was touched"):
        repair(store.data_dir, tmp_path / "new")
    with pytest.raises(Refused, match="nothing was touched"):
        repair(store.data_dir, store.data_dir)
