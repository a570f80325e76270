"""`awlog compact` without a server: the same content in a smaller file, and nothing of what was erased."""

from __future__ import annotations

import subprocess
import sys

import pytest

from awlog.model.commands import DeleteBucket, DeleteEvent
from awlog.model.errors import CannotStart, DataDamaged
from awlog.model.event import event_id
from awlog.storage import compaction, copying, layout
from awlog.storage.compaction import compact
from awlog.storage.environment import DATA_FILE, LOCK_FILE
from awlog.storage.lock import DirectoryLock
from tests.engine.harness import Store, create, event, insert
from tests.storage.raw import flipped, main_key, tables
from tests.storage.test_backup import digest, names


async def with_a_past(store: Store) -> None:
    """Much that was deleted, some of it with payloads to look for; one canary stays."""
    engine = await store.open()
    await engine.submit(create("large"))
    await engine.insert(insert("large", *(event(n, 1, f"canary {n} {'x' * 500}") for n in range(500))))
    await engine.submit(DeleteBucket("large"))
    stored = await engine.submit(insert("main", event(9_000, 1, "canary-one"), event(9_010, 1, "canary-two")))
    await engine.submit(insert("main", event(9_020, 1, "kept-here")))
    for gone in stored.events:
        await engine.submit(DeleteEvent("main", event_id(stored.bucket_number, gone.seq)))
    await store.close()


async def test_the_file_shrinks_and_what_was_erased_is_gone_from_it(store: Store):
    """Its content, by the digest, is what it was; the store goes on."""
    await with_a_past(store)
    before = digest(store.data_dir)
    assert b"canary" in (store.data_dir / DATA_FILE).read_bytes(), "else this test shows nothing"
    done = compact(store.data_dir)
    content = (store.data_dir / DATA_FILE).read_bytes()
    assert done.after_bytes == len(content)
    assert done.after_bytes < done.before_bytes / 2
    assert b"canary" not in content
    assert b"kept-here" in content
    assert digest(store.data_dir) == before
    engine = await store.open()
    await engine.submit(insert("main", event(10_000)))
    await store.close()
    assert [name for name in names(store.data_dir) if "making" in name] == []


def test_a_store_in_use_is_left_alone(store: Store):
    """Whoever holds the directory compacts it."""
    with DirectoryLock(store.data_dir), pytest.raises(CannotStart, match="Another awlog server"):
        compact(store.data_dir)


def test_a_damaged_store_is_left_as_it_is(store: Store):
    """What is damaged is not thrown away on the quiet."""
    with tables(store.data_dir) as rows:
        rows.change(layout.SEGMENTS, main_key(5), lambda value: flipped(value, -1))
    before = (store.data_dir / DATA_FILE).read_bytes()
    with pytest.raises(DataDamaged, match="Segment 5"):
        compact(store.data_dir)
    assert (store.data_dir / DATA_FILE).read_bytes() == before


@pytest.mark.parametrize("step", ["copy_rows", "give_identity", "proved", "put_in_place"])
def test_what_fails_half_way_leaves_everything_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch, step: str):
    """At each step."""

    def fail(*_: object) -> None:
        raise RuntimeError(step)

    before = digest(store.data_dir)
    monkeypatch.setattr(compaction if step == "put_in_place" else copying, step, fail)
    with pytest.raises(RuntimeError, match=step):
        compact(store.data_dir)
    assert digest(store.data_dir) == before
    assert [name for name in names(store.data_dir) if "making" in name] == []


def test_the_lock_file_goes_with_the_pages_that_it_is_about(store: Store):
    """A process that reads the old file goes on reading it; whoever opens the store now finds the new one."""
    old = store.environment()
    with old.lmdb.begin() as txn:
        entries = txn.stat(old.databases[layout.LOG])["entries"]
        command = [sys.executable, "-m", "awlog", "compact", "--data-dir", str(store.data_dir)]
        subprocess.run(command, check=True, capture_output=True)
        assert not (store.data_dir / LOCK_FILE).exists()
        assert len(list(txn.cursor(old.databases[layout.LOG]))) == entries
    old.close()
    digest(store.data_dir)
