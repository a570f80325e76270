"""The HTTP edge of these tests: on a real store whose files are proved when it closes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.edge import Edge
from tests.engine.harness import Disk, Store, WatchedEngine, create


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    created = Store(tmp_path / "data")
    yield created
    await created.close()


@pytest.fixture
async def engine(store: Store) -> WatchedEngine:
    """With one bucket, `b`."""
    opened = await store.open()
    await opened.submit(create("b"))
    return opened


@pytest.fixture
def disk(store: Store) -> Disk:
    return store.disk


@pytest.fixture
async def edge(engine: WatchedEngine) -> AsyncIterator[Edge]:
    made = Edge(engine, body_bytes_max=50_000)
    yield made
    await made.close()
