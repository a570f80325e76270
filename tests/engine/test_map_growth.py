"""The environment grows by itself: nobody sees LMDB's map fill up, whether reads are open or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from awlog.model.errors import Busy, InsufficientStorage
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from awlog.storage.environment import Environment
from tests.engine.harness import Store, WatchedEngine, beat, create, decoded, event, insert, within_patience

MAP_BYTES = 1 << 17


def long_title(n: int) -> str:
    """3,000 letters that no compression makes much shorter, always the same for one n."""
    return Random(n).randbytes(1500).hex()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with room for a few dozen long events."""
    created = Store(tmp_path / "data", map_bytes=MAP_BYTES)
    yield created
    await created.close()


def map_bytes(engine: WatchedEngine) -> int:
    return int(engine.environment.lmdb.info()["map_size"])


class _NeverInTime(Environment):
    """A store that nobody makes larger before it must be: every growth begins with a commit that found the map full."""

    def wants_growth(self) -> bool:
        return False


@pytest.mark.parametrize("environment_class", [Environment, _NeverInTime])
async def test_a_store_grows_to_many_times_its_map_without_a_refused_write(
    tmp_path: Path, environment_class: type[Environment]
):
    """Every write is answered, kept, and there after a restart with the small map again."""
    store = Store(tmp_path / "data", map_bytes=MAP_BYTES, environment_class=environment_class)
    engine = await store.open()
    await engine.submit(create("b"))
    for n in range(400):
        await within_patience(engine.submit(insert("b", event(n, data=long_title(n)))))
    assert map_bytes(engine) >= 8 * MAP_BYTES
    events = await engine.events("b")
    assert len(events) == 400
    engine = await store.restart()
    assert await engine.events("b") == events
    await store.close()


async def test_one_commit_may_need_several_doublings(engine: WatchedEngine):
    """A batch that is ten times the map."""
    await engine.submit(create("b"))
    await within_patience(engine.submit(insert("b", *(event(n, data=long_title(n)) for n in range(400)))))
    assert map_bytes(engine) >= 8 * MAP_BYTES
    assert len(await engine.events("b")) == 400


async def _open_read(engine: WatchedEngine) -> tuple[list[dict[str, object]], list[bytes], AsyncIterator[bytes]]:
    """What the whole read will give, its first chunk, and the rest that is still to be read."""
    await engine.submit(create("b"))
    await engine.insert(insert("b", *(event(n) for n in range(20))))
    whole = await engine.events("b")
    engine.forget_decoded_segments()
    chunks = engine.reads.range_json("b", TIME_MIN_US, TIME_MAX_US, count_max=None)
    return whole, [await anext(chunks)], chunks


async def test_growth_waits_for_an_open_read_which_is_whole(engine: WatchedEngine):
    """Growing moves the map: the snapshot stays valid until its reader is done, then the write is carried out."""
    whole, read, rest = await _open_read(engine)
    before = map_bytes(engine)
    large = engine.submit(insert("b", *(event(100 + n, data=long_title(n)) for n in range(400))))
    meanwhile = engine.submit(beat("b", 5000))
    await engine.growing()
    assert map_bytes(engine) == before, "the map must not move under a reader"
    read += [chunk async for chunk in rest]
    assert decoded(read) == whole
    await within_patience(asyncio.gather(large, meanwhile))
    assert map_bytes(engine) > before
    assert len(await engine.events("b")) == 421


async def test_a_read_begun_while_growth_waits_is_answered(engine: WatchedEngine):
    """It may wait for the growth, it may not be refused or see half of anything."""
    whole, read, rest = await _open_read(engine)
    large = engine.submit(insert("b", *(event(100 + n, data=long_title(n)) for n in range(400))))
    await engine.growing()
    counts = [asyncio.ensure_future(engine.reads.count("b", TIME_MIN_US, TIME_MAX_US)) for _ in range(3)]
    await asyncio.sleep(0)
    read += [chunk async for chunk in rest]
    assert decoded(read) == whole
    assert set(await within_patience(asyncio.gather(*counts))) <= {20, 420}
    await within_patience(large)
    assert await engine.reads.count("b", TIME_MIN_US, TIME_MAX_US) == 420


async def test_a_read_that_is_given_up_lets_the_store_grow(engine: WatchedEngine):
    """O6: a client that goes away releases its snapshot."""
    _, _, rest = await _open_read(engine)
    large = engine.submit(insert("b", *(event(100 + n, data=long_title(n)) for n in range(400))))
    await engine.growing()
    await rest.aclose()  # type: ignore[attr-defined]
    await within_patience(large)


class _CannotGrow(Environment):
    """Address space has an end."""

    may_grow = False

    def grow(self) -> None:
        if not self.may_grow:
            raise InsufficientStorage("The store cannot grow")
        super().grow()


async def test_a_store_that_cannot_grow_refuses_what_has_no_room_and_nothing_else(tmp_path: Path):
    """The waiting writes are refused, reads and small writes go on, and it grows as soon as it can."""
    store = Store(tmp_path / "data", map_bytes=MAP_BYTES, environment_class=_CannotGrow)
    engine = await store.open()
    await engine.submit(create("b"))
    await engine.submit(insert("b", event(0)))
    large = insert("b", *(event(100 + n, data=long_title(n)) for n in range(400)))
    for _ in range(2):
        refused = [engine.submit(large), engine.submit(beat("b", 1))]
        for answer in await within_patience(asyncio.gather(*refused, return_exceptions=True)):
            assert isinstance(answer, Busy)
        assert len(await engine.events("b")) == 1
    await within_patience(engine.submit(beat("b", 1)))
    assert isinstance(engine.environment, _CannotGrow)
    engine.environment.may_grow = True
    await within_patience(engine.submit(large))
    assert len(await engine.events("b")) == 401
    await store.close()


async def test_a_map_that_the_system_cannot_give_is_insufficient_storage(engine: WatchedEngine):
    """More address space than there is: `grow` says so in awlog's words, and the store stays usable."""
    await engine.submit(create("b"))
    environment = engine.environment
    with pytest.raises(InsufficientStorage):
        while True:
            environment.grow()
    await within_patience(engine.submit(beat("b", 0)))
    assert len(await engine.events("b")) == 1
