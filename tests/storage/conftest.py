"""A store with something in each of its tables, to be looked at, damaged and opened again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from awlog.model.access import Grant, Scope
from awlog.model.commands import ChangeSetting, DeleteBucket, Producer, SendHeartbeats
from awlog.model.times import Micros
from tests.engine.harness import Store, beat, create, event, insert, small_segments


@pytest.fixture(autouse=True)
def _small_segments() -> Iterator[None]:
    with small_segments():
        yield


@pytest.fixture(scope="session")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that every test gets a copy of."""
    made = Store(tmp_path_factory.mktemp("whole") / "data")
    with small_segments():
        asyncio.run(_fill(made))
    return made.data_dir


async def _fill(store: Store) -> None:
    engine = await store.open()
    for bucket_id in ("main", "gone", "quiet", "empty"):
        await engine.submit(create(bucket_id))
    await engine.insert(insert("main", *(event(100 * n, 10, f"title {n % 4}") for n in range(13))))
    for n in range(13, 16):
        await engine.submit(insert("main", event(100 * n, 10, f"title {n % 4}")))
    await engine.submit(beat("quiet", 50, 5))
    await engine.submit(insert("gone", event(1), event(2)))
    await engine.submit(DeleteBucket("gone"))
    await engine.submit(ChangeSetting("theme", b'"dark"'))
    await engine.submit(ChangeSetting("views", b"[1,2]"))
    await engine.submit_heartbeats(SendHeartbeats([None], Producer("phone", 7)))
    await engine.submit_heartbeats(SendHeartbeats([None], Producer("laptop", 1)))
    await engine.tokens.create("phone", [Grant(Scope.APPEND, "phone-")], None)
    await engine.tokens.create("me", [Grant(Scope.ADMIN)], Micros(engine.clock() + 1_000_000))
    main = engine.durable_state.bucket("main")
    assert (len(main.index), len(main.head)) == (3, 3)
    await store.close()


@pytest.fixture
def store(tmp_path: Path, whole_store: Path) -> Store:
    """Closed. Bucket `main` has three segments, a head of three records and a tail record; `quiet` a tail record only;
    `empty` nothing; `gone` was deleted; two settings; two producers; two tokens.
    """
    shutil.copytree(whole_store, tmp_path / "data")
    return Store(tmp_path / "data")
