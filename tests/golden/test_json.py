"""JSON on the wire that must never change: an export of today must be understood in ten years, and read the same.

`import.json` goes in; `export.json`, `bucket-export.json` and `events.json` are what comes out, to the byte. If one of these
tests fails, think of whoever parses the answers before you change a file here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from awlog.api.app import App
from awlog.api.in_progress import InProgress
from awlog.engine.engine import Engine
from awlog.storage.environment import Environment, create_if_new, prepare_directory
from tests.api.settings import api_settings

# A client of any server, as aiohttp types it.
Client = TestClient[Any, Any]
HERE = Path(__file__).parent
ODD = quote('odd "bucket"/日本', safe="")


def golden(name: str) -> bytes:
    return (HERE / name).read_bytes().removesuffix(b"\n")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A server on a new store."""
    data_dir = tmp_path / "data"
    prepare_directory(data_dir)
    create_if_new(data_dir)
    environment = Environment(data_dir)
    engine = Engine(environment)
    opened: Client = TestClient(RawTestServer(App(engine, api_settings(), InProgress())))
    try:
        async with opened:
            yield opened
    finally:
        await engine.close()
        environment.close()


async def imported(client: Client, name: str) -> None:
    answer = await client.post("/api/0/import", data=golden(name), headers={"Content-Type": "application/json"})
    assert (answer.status, await answer.read()) == (200, b"null")


async def read(client: Client, path: str) -> bytes:
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    return await answer.read()


async def test_an_export(client: Client) -> None:
    """Buckets in the order of their making, events newest first, without ids."""
    await imported(client, "import.json")
    assert await read(client, "/api/0/export") == golden("export.json")
    assert await read(client, f"/api/0/buckets/{ODD}/export") == golden("bucket-export.json")


async def test_an_export_comes_out_as_it_went_in(client: Client) -> None:
    """To the byte; a second time it changes nothing."""
    for _ in range(2):
        await imported(client, "export.json")
        assert await read(client, "/api/0/export") == golden("export.json")


@pytest.mark.parametrize(
    ("query", "name"),
    [("", "events.json"), ("?start=2024-05-01T10:00:30Z&end=2024-05-01T10:02:00.000001Z", "cut-events.json")],
    ids=["all", "cut to a range"],
)
async def test_a_range_read(client: Client, query: str, name: str) -> None:
    """Ids of bucket number 1, equal starts by arrival, events cut at the edges."""
    await imported(client, "import.json")
    assert await read(client, f"/api/0/buckets/aw-watcher-window_desk/events{query}") == golden(name)
