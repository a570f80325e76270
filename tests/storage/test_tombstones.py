"""The table `changes`: what is gone, by the number of the change, and no more of it than there may be."""

from __future__ import annotations

import pytest

from awlog.log.write_set import BucketGone, EventGone, SettingGone
from awlog.model.commands import ChangeSetting, DeleteBucket, DeleteEvent
from awlog.model.event import BucketNumber, Change, Seq, event_id
from awlog.storage import writer as writer_module
from awlog.storage.snapshot import open_snapshot
from tests.engine.harness import Store, WatchedEngine, event, insert

MAIN, QUIET = BucketNumber(1), BucketNumber(3)


def tombstones(engine: WatchedEngine, after: int = 0) -> list[object]:
    with open_snapshot(engine.environment) as snapshot:
        return [tombstone for _, tombstone in snapshot.tombstones(after=Change(after))]


async def test_what_is_gone_is_told_in_the_order_of_the_changes(store: Store):
    """From any change on; the fixture deleted a bucket."""
    engine = await store.open()
    before = engine.durable_state.next_change - 1
    await engine.submit(DeleteEvent("main", event_id(MAIN, Seq(3))))
    await engine.submit(ChangeSetting("theme", None))
    await engine.submit(DeleteBucket("quiet"))
    told = [EventGone(MAIN, Seq(3)), SettingGone("theme"), BucketGone(QUIET, "quiet")]
    assert tombstones(engine) == [BucketGone(BucketNumber(2), "gone"), *told]
    assert tombstones(engine, after=before) == told
    assert tombstones(engine, after=before + 2) == told[2:]
    assert tombstones(engine, after=before + 3) == []
    await store.close()


async def test_of_too_many_the_oldest_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch):
    """And the store knows up to where, so that who was away for longer can be told; also after a start."""
    monkeypatch.setattr(writer_module, "TOMBSTONES_MAX", 3)
    engine = await store.open()
    await engine.submit(insert("quiet", *(event(n) for n in range(6))))
    seqs = sorted(engine.durable_state.bucket("quiet").head, key=lambda one: one.seq)[:5]
    gone = []
    for one in seqs:
        gone.append(engine.durable_state.next_change)
        await engine.submit(DeleteEvent("quiet", event_id(QUIET, one.seq)))
    assert tombstones(engine) == [EventGone(QUIET, one.seq) for one in seqs[-3:]]
    engine = await store.restart()
    with open_snapshot(engine.environment) as snapshot:
        assert snapshot.oldest_change() == gone[1]
    await store.close()
