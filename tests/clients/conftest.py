"""A server in testing mode, and a home of its own for each stock client."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from aw_client import ActivityWatchClient

from tests.server import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("clients") / "data") as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the ActivityWatch libraries keep their settings, queues, locks and logs during one test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.delenv("AW_PROFILE", raising=False)
    return tmp_path


@pytest.fixture
def name() -> str:
    """A bucket id that no other test uses."""
    return f"clients-{next(_numbers)}"


@pytest.fixture
def client(home: Path, server: Server, name: str) -> ActivityWatchClient:
    """The stock Python client."""
    return ActivityWatchClient(f"client-of-{name}", testing=True, host=server.host, port=server.port)


@pytest.fixture
def bucket(client: ActivityWatchClient, name: str) -> str:
    """An empty bucket that the stock client made."""
    client.create_bucket(name, "test")
    return name
