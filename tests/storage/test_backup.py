"""B, U5: a backup holds all of a store and nothing else, and a restore gives back that or nothing."""

from __future__ import annotations

import faulthandler
import shutil
from pathlib import Path

import lmdb
import pytest

from awlog.model.commands import DeleteEvent
from awlog.model.errors import AwlogError, CannotStart, DataDamaged, FormatTooNew
from awlog.model.event import event_id
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.backup import Copied, WouldOverwrite, back_up, restore
from awlog.storage.check import check
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.identity import read_identity
from awlog.storage.rehearsal import DiedApart, run_apart
from tests.engine.harness import Store, event, insert
from tests.storage.raw import flipped, main_key, tables

PAGE_BYTES = 4096
MADE_US = Micros(1_700_000_000_000_000)
NOW_US = Micros(1_750_000_000_000_000)


def backed_up(store: Store, file: Path) -> Copied:
    return back_up(store.data_dir, file, made_us=MADE_US)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def digest(data_dir: Path) -> str:
    environment = Environment(data_dir, read_only=True)
    report = check(environment)
    environment.close()
    assert report.problems == []
    return report.digest


def test_a_restored_store_is_equal(store: Store, tmp_path: Path):
    """C5's digest, the device's id, and the files' modes; nothing else is left in either folder."""
    done = backed_up(store, tmp_path / "one.mdb")
    again = restore(tmp_path / "one.mdb", tmp_path / "restored", new_device=False, restored_us=NOW_US)
    assert (again.digest, again.events, again.made_us) == (done.digest, done.events, MADE_US)
    assert digest(tmp_path / "restored") == digest(store.data_dir) == done.digest
    assert read_identity(tmp_path / "restored") == read_identity(store.data_dir)
    assert (tmp_path / "one.mdb").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "restored" / DATA_FILE).stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["data", "one.mdb", "restored"]
    assert not [name for name in names(tmp_path / "restored") if "making" in name]


async def test_a_restored_store_goes_on(store: Store, tmp_path: Path):
    """It takes new events, with ids that were not given before."""
    backed_up(store, tmp_path / "one.mdb")
    restore(tmp_path / "one.mdb", tmp_path / "restored", new_device=False, restored_us=NOW_US)
    restored = Store(tmp_path / "restored")
    engine = await restored.open()
    before = await engine.ids("main")
    await engine.submit(insert("main", event(5_000)))
    assert set(before) < set(await engine.ids("main"))
    await restored.close()


def test_a_second_device_gets_an_id_of_its_own(store: Store, tmp_path: Path):
    """In both places that hold it."""
    backed_up(store, tmp_path / "one.mdb")
    restore(tmp_path / "one.mdb", tmp_path / "second", new_device=True, restored_us=NOW_US)
    first, second = read_identity(store.data_dir), read_identity(tmp_path / "second")
    assert first is not None
    assert second is not None
    assert first.device_id != second.device_id
    assert digest(tmp_path / "second") == digest(store.data_dir)


@pytest.mark.parametrize("there", ["data.mdb", "identity.json"])
def test_a_store_is_never_overwritten(store: Store, tmp_path: Path, there: str):
    """Nor one that lost one of its files."""
    backed_up(store, tmp_path / "one.mdb")
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / there).write_bytes(b"mine")
    with pytest.raises(WouldOverwrite, match="nothing was touched"):
        restore(tmp_path / "one.mdb", tmp_path / "restored", new_device=False, restored_us=NOW_US)
    assert (tmp_path / "restored" / there).read_bytes() == b"mine"


def test_a_backup_of_a_damaged_store_never_replaces_a_good_one(store: Store, tmp_path: Path):
    """It names the place, and leaves nothing half made."""
    backed_up(store, tmp_path / "one.mdb")
    good = (tmp_path / "one.mdb").read_bytes()
    with tables(store.data_dir) as rows:
        rows.change(layout.SEGMENTS, main_key(5), lambda value: flipped(value, -1))
    with pytest.raises(DataDamaged, match="Segment 5 of bucket number 1"):
        backed_up(store, tmp_path / "one.mdb")
    assert (tmp_path / "one.mdb").read_bytes() == good
    assert names(tmp_path) == ["data", "one.mdb"]


async def test_erased_payloads_are_not_in_a_backup(store: Store, tmp_path: Path):
    """Not even in the gaps that deleted rows leave in pages: rows are copied, not pages."""
    engine = await store.open()
    stored = await engine.submit(insert("main", event(9_000, 1, "canary-one"), event(9_010, 1, "canary-two")))
    await engine.submit(insert("main", event(9_020, 1, "kept-here")))
    for gone in stored.events:
        await engine.submit(DeleteEvent("main", event_id(stored.bucket_number, gone.seq)))
    await store.close()
    assert b"canary" in (store.data_dir / DATA_FILE).read_bytes(), "else this test shows nothing"
    backed_up(store, tmp_path / "one.mdb")
    copied = (tmp_path / "one.mdb").read_bytes()
    assert b"kept-here" in copied
    assert b"canary" not in copied


def test_what_this_awlog_does_not_know_is_kept(store: Store, tmp_path: Path):
    """U5: a table and a key of `meta` that a newer awlog of the same format may have added."""
    environment = lmdb.open(str(store.data_dir), max_dbs=32)
    with environment.begin(write=True) as txn:
        txn.put(b"k", b"v" * 9000, db=environment.open_db(b"of_tomorrow", txn=txn))
        txn.put(b"new_key", b"x", db=environment.open_db(layout.META, txn=txn))
    environment.close()
    backed_up(store, tmp_path / "one.mdb")
    restore(tmp_path / "one.mdb", tmp_path / "restored", new_device=False, restored_us=NOW_US)
    environment = lmdb.open(str(tmp_path / "restored"), max_dbs=32)
    with environment.begin() as txn:
        assert txn.get(b"k", db=environment.open_db(b"of_tomorrow", txn=txn)) == b"v" * 9000
        assert txn.get(b"new_key", db=environment.open_db(layout.META, txn=txn)) == b"x"
        assert txn.get(layout.BACKUP_KEY, db=environment.open_db(layout.META, txn=txn)) is None
    environment.close()


def test_a_row_that_a_backup_lost_is_missed(store: Store, tmp_path: Path):
    """Each row that is left matches its checksum: it is the digest that tells."""
    backed_up(store, tmp_path / "one.mdb")
    (tmp_path / "opened").mkdir()
    shutil.copy(tmp_path / "one.mdb", tmp_path / "opened" / DATA_FILE)
    with tables(tmp_path / "opened") as rows:
        rows.delete(layout.SETTINGS, b"theme")
    with pytest.raises(DataDamaged, match="not what was backed up"):
        restore(tmp_path / "opened" / DATA_FILE, tmp_path / "restored", new_device=False, restored_us=NOW_US)
    assert not (tmp_path / "restored" / DATA_FILE).exists()


def test_a_backup_of_a_newer_format_is_refused(store: Store, tmp_path: Path):
    """U4: both numbers are said, and no store is made."""
    with tables(store.data_dir) as rows:
        rows.put(layout.META, layout.FORMAT_KEY, b"2")
    with pytest.raises(FormatTooNew, match=r"format 2.* up to 1"):
        restore(store.data_dir / DATA_FILE, tmp_path / "restored", new_device=False, restored_us=NOW_US)
    assert not (tmp_path / "restored" / DATA_FILE).exists()


@pytest.mark.parametrize("content", [None, b"", b"text", bytes(8192)], ids=["missing", "empty", "text", "zeros"])
def test_what_is_no_backup_is_refused_in_words(tmp_path: Path, content: bytes | None):
    file = tmp_path / "one.mdb"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CannotStart):
        restore(file, tmp_path / "restored", new_device=False, restored_us=NOW_US)
    assert not (tmp_path / "restored" / DATA_FILE).exists()


def _restored(file: Path, data_dir: Path) -> bytes:
    faulthandler.disable()  # else it writes the stack of every child that dies
    return restore(file, data_dir, new_device=False, restored_us=NOW_US).digest.encode()


def _outcome(file: Path, data_dir: Path, right: str) -> str:
    try:
        restored = run_apart(lambda: _restored(file, data_dir))
    except DiedApart:
        return "put in place" if (data_dir / DATA_FILE).exists() else "refused"
    return "whole" if restored.decode() == right else "garbage"


def test_each_page_of_a_backup_spoilt_in_turn_is_refused_or_harmless(store: Store, tmp_path: Path):
    """A bit flipped, and the file cut off, at each page: equal, or nothing at all."""
    right = backed_up(store, tmp_path / "one.mdb").digest
    good = (tmp_path / "one.mdb").read_bytes()
    outcomes = []
    for number, at in enumerate(range(0, len(good), PAGE_BYTES)):
        spoilt = tmp_path / "spoilt.mdb"
        for kind, content in (("bit", flipped(good, at + (37 * number) % PAGE_BYTES, number % 8)), ("cut", good[:at])):
            spoilt.write_bytes(content)
            outcomes.append(_outcome(spoilt, tmp_path / f"r{number}{kind}", right))
            assert kind == "bit" or outcomes[-1] == "refused"
    assert set(outcomes) == {"whole", "refused"}, "some bits mean nothing, and the others are found"


def test_errors_are_ours(tmp_path: Path):
    """No store, and no folder for the file."""
    with pytest.raises(AwlogError, match="no store"):
        back_up(tmp_path / "nothing", tmp_path / "one.mdb", made_us=MADE_US)
    assert names(tmp_path) == []
