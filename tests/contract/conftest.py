"""One server for all contract tests; each test works in buckets of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.contract.wire import Api
from tests.server import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in testing mode; every test that asks it runs against both ways in."""
    with Server(tmp_path_factory.mktemp("contract") / "data", *request.param) as running:
        yield running


@pytest.fixture(scope="session", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def desk_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server outside testing mode, as people run it."""
    with Server(tmp_path_factory.mktemp("desk") / "data", *request.param, testing=False) as running:
        yield running


@pytest.fixture
def api(server: Server) -> Api:
    return Api(server)


@pytest.fixture
def desk(desk_server: Server) -> Api:
    return Api(desk_server)


@pytest.fixture
def name() -> str:
    """A bucket id that no other test uses; there is no such bucket yet."""
    return f"contract-{next(_numbers)}"


@pytest.fixture
def bucket(api: Api, name: str) -> str:
    """An empty bucket of the test's own."""
    return api.create(name)


@pytest.fixture
def other(api: Api) -> str:
    """A second empty bucket."""
    return api.create(f"contract-{next(_numbers)}-other")
