"""A server in testing mode for all tests of the client."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from awlog.client import Event
from tests.server import Server

TEN = datetime(2024, 5, 1, 10, tzinfo=UTC)
_numbers = itertools.count(1)


def event(second: float, duration_s: float = 0, **data: object) -> Event:
    """An event so many seconds after ten."""
    return Event(TEN + timedelta(seconds=second), timedelta(seconds=duration_s), data or {"s": 1})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("client") / "data") as running:
        yield running


@pytest.fixture
def name() -> str:
    """A bucket id that no other test uses."""
    return f"client-{next(_numbers)}"
