"""Compaction beside the engine's work: nothing is refused, nothing is lost, reads see every answered write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from awlog.engine import compaction as compaction_module
from awlog.model.commands import DeleteBucket
from awlog.model.errors import Busy, Unavailable
from awlog.storage.compaction import Successor
from awlog.storage.environment import DATA_FILE, LOCK_FILE
from tests.engine.harness import Store, WatchedEngine, beat, create, event, everything, insert


async def filled(store: Store) -> WatchedEngine:
    engine = await store.open()
    await engine.submit(create("a"))
    await engine.submit(create("gone"))
    await engine.insert(insert("gone", *(event(n, 1, f"canary {n} {'x' * 300}") for n in range(300))))
    await engine.insert(insert("a", *(event(n, 1, f"title {n}") for n in range(30))))
    await engine.submit(DeleteBucket("gone"))
    return engine


async def test_what_is_written_meanwhile_is_in_the_new_file(store: Store):
    """Every answered write, in memory and on the disk, before the copy, during it, and after the swap."""
    engine = await filled(store)
    compacting = asyncio.create_task(engine.compact())
    written = 0
    while not compacting.done():
        await engine.submit(insert("a", event(1000 + written, 1, f"during {written}")))
        written += 1
        assert len(await engine.events("a")) == 30 + written
    done = await compacting
    assert done.after_bytes < done.before_bytes
    await engine.submit(beat("a", 5000, 1))
    shown = await everything(engine)
    assert len(await engine.events("a")) == 31 + written
    content = (store.data_dir / DATA_FILE).read_bytes()
    assert b"canary" not in content
    engine = await store.restart()
    assert await everything(engine) == shown
    await store.close()


async def test_while_the_file_is_swapped_writes_wait_and_are_answered(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Not refused: what arrives in that moment is committed to the new file."""
    engine = await filled(store)
    swapping, go_on = asyncio.Event(), asyncio.Event()
    hold = engine._committer.hold

    async def held() -> None:
        await hold()
        swapping.set()
        await go_on.wait()

    monkeypatch.setattr(engine._committer, "hold", held)
    compacting = asyncio.create_task(engine.compact())
    await swapping.wait()
    waiting = [engine.submit(beat("a", 2000 + 20 * n, 1)) for n in range(5)]
    await asyncio.sleep(0.05)
    assert not any(future.done() for future in waiting)
    go_on.set()
    await compacting
    for future in waiting:
        await future
    assert len(await engine.events("a")) == 35
    await store.close()


async def test_a_snapshot_that_is_open_is_read_to_its_end(store: Store):
    """The swap waits for it, and new ones wait for the swap."""
    engine = await filled(store)
    reading = engine.reads.range_json("a", 0, 10**12, count_max=None)  # type: ignore[arg-type]
    await anext(reading)
    compacting = asyncio.create_task(engine.compact())
    while engine._store._may_read.is_set():
        assert not compacting.done()
        await asyncio.sleep(0.01)
    later = asyncio.create_task(engine.events("a"))
    await asyncio.sleep(0.05)
    assert not compacting.done()
    assert not later.done()
    async for _ in reading:
        pass
    await compacting
    assert len(await later) == 30
    await store.close()


@pytest.mark.parametrize("step", ["__init__", "catch_up", "take_place"])
async def test_what_fails_leaves_the_old_file_in_use(store: Store, monkeypatch: pytest.MonkeyPatch, step: str):
    """And writes go on."""

    def fail(*_: object) -> None:
        raise Unavailable(step)

    engine = await filled(store)
    before = engine.digest()
    with monkeypatch.context() as patched:
        patched.setattr(Successor, step, fail)
        with pytest.raises(Busy, match=step):
            await engine.compact()
    assert engine.digest() == before
    await engine.submit(insert("a", event(7000)))
    assert (await engine.compact()).after_bytes > 0
    engine = await store.restart()
    assert len(await engine.events("a")) == 31
    await store.close()


async def test_the_new_file_has_its_lock_file_from_its_first_moment(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A process that opened it with another would read what the server does not know is read, and so writes over."""
    engine = await filled(store)
    old = {name: (store.data_dir / name).stat().st_ino for name in (DATA_FILE, LOCK_FILE)}
    seen: list[tuple[bool, bool]] = []
    replace = Path.replace

    def seen_after(made: Path, target: Path) -> Path:
        replaced = replace(made, target)
        if (store.data_dir / LOCK_FILE).exists():
            is_new = [(store.data_dir / name).stat().st_ino != old[name] for name in (DATA_FILE, LOCK_FILE)]
            seen.append((is_new[0], is_new[1]))
        return replaced

    monkeypatch.setattr(Path, "replace", seen_after)
    await engine.compact()
    assert seen == [(False, True), (True, True)]
    await store.close()


async def test_a_query_after_the_swap_sees_what_was_written_after_it(store: Store):
    """Reader processes have the old file open: they are replaced."""
    engine = await filled(store)
    ask = ['RETURN = query_bucket_eventcount("a");']
    periods = ["1970-01-01T00:00:00Z/2030-01-01T00:00:00Z"]
    for expected in (b"30", b"31", b"32"):
        answer = await engine.readers.query(ask, periods, name="", explain=False)
        assert b"".join(answer.parts) == expected
        await engine.compact()
        await engine.submit(insert("a", event(8000 + int(expected))))
    await store.close()


async def test_too_much_written_meanwhile_puts_it_off(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Memory is bounded; nothing is refused but the compaction."""
    engine = await filled(store)
    monkeypatch.setattr(compaction_module, "_KEPT_MAX", 0)
    compacting = asyncio.create_task(engine.compact())
    await asyncio.sleep(0)
    await engine.submit(insert("a", event(7000)))
    with pytest.raises(Unavailable, match="too much was written"):
        await compacting
    assert len(await engine.events("a")) == 31
    await store.close()


async def test_a_stop_ends_a_compaction(store: Store):
    engine = await filled(store)
    compacting = asyncio.create_task(engine.compact())
    await asyncio.sleep(0.05)
    await store.close()
    with pytest.raises(Unavailable, match="stopping"):
        await compacting
    assert [path for path in Path(store.data_dir).iterdir() if "making" in path.name] == []
