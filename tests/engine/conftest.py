"""The engine of these tests: real files, a fake clock, segments of four events; its files are proved when it closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Disk, Store, WatchedEngine, small_segments


@pytest.fixture(autouse=True)
def _small_segments() -> Iterator[None]:
    with small_segments():
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A data directory with nothing in it yet."""
    created = Store(tmp_path / "data")
    yield created
    await created.close()


@pytest.fixture
async def engine(store: Store) -> WatchedEngine:
    return await store.open()


@pytest.fixture
def disk(store: Store) -> Disk:
    """What the store's commits go through."""
    return store.disk
