"""`awlog.client` against a real server: every method, with and without asyncio."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from awlog.client import AsyncClient, Client, Event, RequestRefused, Unreachable
from tests.client.conftest import TEN, event
from tests.server import Server, free_port


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client("test", host=server.host, port=server.port) as connected:
        yield connected


@pytest.fixture
def bucket(client: Client, name: str) -> str:
    client.create_bucket(name, "test.type")
    return name


def spans(events: list[Event]) -> list[tuple[float, float]]:
    return [((one.timestamp - TEN).total_seconds(), one.duration.total_seconds()) for one in events]


def test_info(client: Client):
    client.wait_for_start()
    assert client.get_info()["testing"] is True


def test_a_bucket_is_made_once_listed_and_deleted(client: Client, name: str):
    client.create_bucket(name, "test.type")
    client.create_bucket(name, "test.type")
    bucket = client.get_buckets()[name]
    assert (bucket["type"], bucket["client"], bucket["hostname"]) == ("test.type", "test", client.client_hostname)
    client.delete_bucket(name, force=True)
    assert name not in client.get_buckets()


@pytest.mark.parametrize("name", ["a/b", "?#%", "ünï ", "a+b&c=d"])
def test_any_bucket_id_is_encoded(client: Client, name: str):
    client.create_bucket(name, "test.type")
    client.insert_event(name, event(0))
    assert client.get_eventcount(name) == 1
    client.delete_bucket(name, force=True)


def test_a_heartbeat_gives_the_stored_event(client: Client, bucket: str):
    first = client.heartbeat(bucket, event(0), pulsetime=5)
    second = client.heartbeat(bucket, event(5), pulsetime=5)
    assert first is not None
    assert second is not None
    assert (second.id, second.duration) == (first.id, timedelta(seconds=5))


def test_events_are_inserted_read_counted_and_deleted(client: Client, bucket: str):
    one = client.insert_event(bucket, event(0, 2, title="ä"))
    assert one == Event(TEN, timedelta(seconds=2), {"title": "ä"}, one.id)
    more = client.insert_events(bucket, [event(10, 1), event(20, 1)])
    assert spans(client.get_events(bucket)) == [(20, 1), (10, 1), (0, 2)]
    assert spans(client.get_events(bucket, limit=1)) == [(20, 1)]
    assert spans(client.get_events(bucket, start=TEN + timedelta(seconds=1), end=TEN + timedelta(seconds=10))) == [
        (10, 0),
        (1, 1),
    ]
    assert client.get_eventcount(bucket) == 3
    assert client.get_eventcount(bucket, start=TEN + timedelta(seconds=5)) == 2
    assert one.id is not None
    assert client.get_event(bucket, one.id) == one
    assert client.delete_event(bucket, one.id) is True
    assert client.delete_event(bucket, one.id) is False
    assert client.get_event(bucket, one.id) is None
    assert client.get_events(bucket) == more[::-1]


def test_an_event_with_its_id_is_replaced(client: Client, bucket: str):
    one = client.insert_event(bucket, event(0))
    other = client.insert_event(bucket, Event(one.timestamp, timedelta(seconds=9), {"new": True}, one.id))
    assert client.get_events(bucket) == [other]
    assert other.id == one.id


def test_a_query(client: Client, bucket: str):
    client.insert_events(bucket, [event(0, 10), event(20, 5)])
    periods = [(TEN, TEN + timedelta(seconds=15)), (TEN, TEN + timedelta(hours=1))]
    program = f"es = query_bucket('{bucket}');\nRETURN = sum_durations(es);"
    assert client.query(program, periods, name="a name", cache=True) == [10.0, 15.0]


def test_export_and_import(client: Client, bucket: str):
    client.insert_events(bucket, [event(0, 10), event(20, 5)])
    exported = client.export_all()["buckets"][bucket]
    assert client.export_bucket(bucket)["buckets"][bucket] == exported
    client.delete_bucket(bucket, force=True)
    client.import_bucket(exported)
    assert client.export_bucket(bucket)["buckets"][bucket] == exported


def test_settings(client: Client, name: str):
    assert client.get_setting(name) is None
    client.set_setting(name, {"a": [1, None]})
    assert client.get_setting(name) == {"a": [1, None]}
    assert client.get_setting()[name] == {"a": [1, None]}
    client.set_setting(name, None)
    assert client.get_setting(name) is None


def test_a_refusal_says_why(client: Client, name: str):
    with pytest.raises(RequestRefused, match=name) as refused:
        client.get_events(name)
    assert (refused.value.status, refused.value.type) == (404, "NoSuchBucket")
    with pytest.raises(RequestRefused) as refused:
        client.query("RETURN = nonsense(", [(TEN, TEN)])
    assert refused.value.type == "QueryParseException"


def test_no_server_is_said_so():
    with Client("test", port=free_port()) as client:
        with pytest.raises(Unreachable):
            client.get_info()
        with pytest.raises(Unreachable):
            client.wait_for_start(timeout=0.2)


def test_times_need_a_zone(client: Client, bucket: str):
    """A time without one would mean another moment on another machine."""
    with pytest.raises(ValueError, match="time zone"):
        Event(datetime(2024, 5, 1))
    with pytest.raises(ValueError, match="time zone"):
        client.get_events(bucket, start=datetime(2024, 5, 1))


def test_a_client_is_used_between_connect_and_disconnect(server: Server):
    client = Client("test", host=server.host, port=server.port)
    with pytest.raises(AssertionError, match="connect"):
        client.get_info()
    for _ in range(2):
        client.connect()
        client.get_info()
        client.disconnect()


def test_both_clients_have_the_same_methods():
    """With the same parameters and results."""
    for name, method in inspect.getmembers(AsyncClient, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(Client, name)) == inspect.signature(method), name


async def test_the_same_with_asyncio(server: Server, name: str):
    async with AsyncClient("test", host=server.host, port=server.port) as client:
        await client.create_bucket(name, "test.type")
        await client.heartbeat(name, event(0), pulsetime=5)
        await client.heartbeat(name, event(3), pulsetime=5)
        assert spans(await client.get_events(name)) == [(0, 3)]
