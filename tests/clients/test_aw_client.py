"""The Python client from PyPI, aw-client 0.5.15, against a real server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from aw_client import ActivityWatchClient
from aw_core.models import Event

from tests.server import Server

TEN = datetime(2024, 5, 1, 10, tzinfo=UTC)


def event(second: float, duration: float = 0, **data: Any) -> Event:
    """An event so many seconds after ten."""
    return Event(timestamp=TEN + timedelta(seconds=second), duration=duration, data=data or {"s": 1})


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so. What a client sends from a queue comes in its own time."""
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def spans(events: list[Event]) -> list[tuple[float, float, dict[str, Any]]]:
    return [((one.timestamp - TEN).total_seconds(), one.duration.total_seconds(), one.data) for one in events]


def test_its_files_stay_in_the_home_of_the_test(client: ActivityWatchClient, home: Path) -> None:
    """Or these tests would read and write the queue of whoever runs them."""
    assert list(home.rglob("aw-client.toml"))
    assert list(home.rglob("*.persistqueue"))


def test_info(client: ActivityWatchClient) -> None:
    client.wait_for_start(timeout=5)
    info = client.get_info()  # type: ignore[no-untyped-call]
    assert info["testing"] is True
    assert info["hostname"] == socket.gethostname()


def test_a_bucket_is_made_listed_and_deleted(client: ActivityWatchClient, name: str) -> None:
    """Made again without an error: the 304 is success to it."""
    for _ in range(3):
        client.create_bucket(name, "currentwindow")
    value = client.get_buckets()[name]
    assert value["type"] == "currentwindow"
    assert value["client"] == client.client_name
    assert value["hostname"] == client.client_hostname
    client.delete_bucket(name)
    assert name not in client.get_buckets()
    client.create_bucket(name, "other")
    client.delete_bucket(name, force=True)
    with pytest.raises(requests.HTTPError) as raised:
        client.delete_bucket(name, force=True)
    assert raised.value.response is not None
    assert raised.value.response.status_code == 404


@pytest.mark.parametrize(
    "odd", ["with space", "Übung", "世界", 'quote"s', "a:b@c;d=e", "<tag>", "plus+", "brackets[0]"]
)
def test_odd_bucket_ids_survive_its_way_of_writing_urls(client: ActivityWatchClient, odd: str) -> None:
    """It does not percent-encode them; its HTTP library does as far as it must."""
    client.create_bucket(odd, "test")
    client.insert_event(odd, event(0, 5))
    client.heartbeat(odd, event(7), pulsetime=5)
    assert spans(client.get_events(odd)) == [(0, 7, {"s": 1})]
    assert odd in client.get_buckets()
    client.delete_bucket(odd)


def test_events_are_inserted_read_counted_and_deleted(client: ActivityWatchClient, bucket: str) -> None:
    client.insert_event(bucket, event(0, 60, n=1))
    client.insert_events(bucket, [event(60, 0, n=2), event(120, 30, n=3)])
    events = client.get_events(bucket)
    assert spans(events) == [(120, 30, {"n": 3}), (60, 0, {"n": 2}), (0, 60, {"n": 1})]
    assert client.get_eventcount(bucket) == 3
    assert isinstance(events[0].id, int)
    assert client.get_event(bucket, events[0].id) == events[0]
    client.delete_event(bucket, events[0].id)
    assert client.get_eventcount(bucket) == 2
    assert spans(client.get_events(bucket)) == spans(events[1:])
    with pytest.raises(requests.HTTPError) as raised:
        client.get_event(bucket, events[0].id)
    assert raised.value.response is not None
    assert raised.value.response.status_code == 404
    client.delete_event(bucket, events[0].id)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [(120, 30), (60, 0), (0, 60)]),
        (30, 120, [(120, 0), (60, 0), (30, 30)]),
        (None, 60, [(60, 0), (0, 60)]),
        (120, None, [(120, 30)]),
        (60, 60, [(60, 0), (60, 0)]),
        (61, 119, []),
        (120, 30, []),
    ],
)
def test_ranges_are_inclusive_and_cut(
    client: ActivityWatchClient, bucket: str, start: int | None, end: int | None, expected: list[tuple[int, int]]
) -> None:
    """The client's own test asks for an event that starts exactly at the end."""
    client.insert_events(bucket, [event(0, 60), event(60), event(120, 30)])
    edges: dict[str, Any] = {
        "start": None if start is None else TEN + timedelta(seconds=start),
        "end": None if end is None else (TEN + timedelta(seconds=end)).astimezone(),
    }
    assert [span[:2] for span in spans(client.get_events(bucket, **edges))] == expected
    assert client.get_eventcount(bucket, **edges) == len(expected)


@pytest.mark.parametrize(("limit", "count"), [(-1, 5), (0, 0), (1, 1), (5, 5), (100, 5), (None, 5)])
def test_a_limit_takes_the_newest(client: ActivityWatchClient, bucket: str, limit: int, count: int) -> None:
    client.insert_events(bucket, [event(n) for n in range(5)])
    assert [span[0] for span in spans(client.get_events(bucket, limit=limit))] == [4, 3, 2, 1, 0][:count]


def test_events_of_one_millisecond_come_back_in_order_of_arrival(client: ActivityWatchClient, bucket: str) -> None:
    """It cuts timestamps to milliseconds, so that these are equal; its own test compares the list with what it sent."""
    sent = [event(0.0001 * n, 0, n=n) for n in range(9)]
    client.insert_events(bucket, sent)
    assert [one.data["n"] for one in client.get_events(bucket)] == list(range(9))
    assert client.get_events(bucket) == sent


def test_heartbeats_extend_one_event(client: ActivityWatchClient, bucket: str) -> None:
    """Sent at once, one request each."""
    for second in (0, 5, 10, 15):
        client.heartbeat(bucket, event(second), pulsetime=5)
    client.heartbeat(bucket, event(20.001), pulsetime=5)
    client.heartbeat(bucket, event(21, 0, s=2), pulsetime=5)
    assert spans(client.get_events(bucket)) == [(21, 0, {"s": 2}), (20.001, 0, {"s": 1}), (0, 15, {"s": 1})]


def test_queued_heartbeats_arrive_merged(client: ActivityWatchClient, name: str) -> None:
    """The queue makes the bucket, merges on its own side, and commits by its interval."""
    client.create_bucket(name, "test", queued=True)
    with client:
        for second in range(61):
            client.heartbeat(name, event(second), pulsetime=5, queued=True, commit_interval=10)
        client.heartbeat(name, event(61, 0, s=2), pulsetime=5, queued=True, commit_interval=10)
        client.heartbeat(name, event(62, 0, s=3), pulsetime=5, queued=True, commit_interval=10)
        wait_for(lambda: name in client.get_buckets() and client.get_eventcount(name) == 2)
    assert spans(client.get_events(name)) == [(61, 0, {"s": 2}), (0, 60, {"s": 1})]


def test_what_was_queued_before_the_server_was_there_is_not_lost(home: Path, tmp_path: Path, name: str) -> None:
    """It creates its buckets first; as long as that fails it keeps the queue."""
    server = Server(tmp_path / "data")
    client = ActivityWatchClient("early", testing=True, host=server.host, port=server.port)
    client.request_queue._attempt_reconnect_interval = 0.1  # type: ignore[assignment]
    client.create_bucket(name, "test", queued=True)
    with client:
        for second in range(0, 100, 10):
            client.heartbeat(name, event(second, 0, n=second), pulsetime=5, queued=True)
        with server:
            wait_for(lambda: name in client.get_buckets() and client.get_eventcount(name) == 9)
            assert [one.data["n"] for one in client.get_events(name)] == list(range(80, -1, -10))


def test_a_bucket_is_exported_and_imported(client: ActivityWatchClient, bucket: str) -> None:
    """Into a server that holds it already, and into one that does not any more."""
    client.insert_events(bucket, [event(0, 60, n=1), event(60, 1, n=2)])
    exported = client.export_bucket(bucket)
    assert exported["buckets"][bucket] == client.export_all()["buckets"][bucket]
    before = client.get_events(bucket)
    client.import_bucket(exported["buckets"][bucket])
    assert client.get_events(bucket) == before
    client.delete_bucket(bucket)
    client.import_bucket(exported["buckets"][bucket])
    assert client.get_events(bucket) == before
    assert client.export_bucket(bucket) == exported


def test_settings_are_set_and_read(client: ActivityWatchClient, name: str) -> None:
    value: Any = [{"name": ["Work"], "rule": {"type": "regex", "regex": "vim|ssh"}}]
    assert client.get_setting(name) is None
    client.set_setting(name, value)
    assert client.get_setting(name) == value
    assert client.get_setting()[name] == value
    client.set_setting(name, "text")
    assert client.get_setting(name) == "text"  # type: ignore[comparison-overlap]


def test_a_script_copies_a_bucket_with_its_ids(client: ActivityWatchClient, bucket: str, name: str) -> None:
    """As the script that merges buckets does: read all, insert all, delete the first."""
    client.insert_events(bucket, [event(n, 1, n=n) for n in range(20)])
    client.create_bucket(f"{name}-copy", "test")
    events = client.get_events(bucket)
    client.insert_events(f"{name}-copy", events)
    assert client.get_events(f"{name}-copy") == events
    assert client.get_events(bucket) == events
    client.delete_bucket(bucket, force=True)
    assert client.get_events(f"{name}-copy") == events


def test_a_script_redacts_an_event(client: ActivityWatchClient, bucket: str) -> None:
    """As the script that redacts does: delete by id, insert the redacted copy with the old id."""
    client.insert_events(bucket, [event(0, 5, t="secret"), event(10, 5, t="public")])
    secret = next(one for one in client.get_events(bucket) if one.data["t"] == "secret")
    assert isinstance(secret.id, int)
    client.delete_event(bucket, secret.id)
    secret.data = {"t": "REDACTED"}
    client.insert_event(bucket, secret)
    assert spans(client.get_events(bucket)) == [(10, 5, {"t": "public"}), (0, 5, {"t": "REDACTED"})]


def test_its_command_line(server: Server, home: Path, bucket: str) -> None:
    """`aw-client` sends heartbeats and shows buckets and events."""

    def run(*arguments: str) -> str:
        command = [
            sys.executable,
            "-m",
            "aw_client",
            "--testing",
            "--host",
            server.host,
            "--port",
            str(server.port),
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    run("heartbeat", bucket, '{"label": "tea"}')
    run("heartbeat", bucket, '{"label": "tea"}')
    assert f" - {bucket}\n" in run("buckets")
    assert run("events", bucket).count("{'label': 'tea'}") == 1


def test_without_any_setting_it_finds_a_server_in_testing_mode(home: Path, tmp_path: Path) -> None:
    """On port 5666 of this machine: the default of both sides."""

    class DefaultServer(Server):
        def command(self) -> list[str]:
            command = super().command()
            at = command.index("--port")
            return command[:at] + command[at + 2 :]

    def is_free() -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 5666))
            except OSError:
                return False
            return True

    wait_for(is_free)
    server = DefaultServer(tmp_path / "data")
    server.port = 5666
    with server:
        client = ActivityWatchClient("defaults", testing=True)
        assert client.get_info()["testing"] is True  # type: ignore[no-untyped-call]
        client.create_bucket("b", "test")
        client.heartbeat("b", event(0), pulsetime=1)
        assert client.get_eventcount("b") == 1
