"""What is queued arrives, once, whatever ends in between: the server, the client, its machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from awlog.client import AsyncClient, Client, Event, QueueUnusable, Refusal, RequestRefused
from awlog.client.queue import OLDEST_BYTES, DiskQueue
from tests.client.conftest import TEN, event
from tests.server import Server, free_port

PATIENCE_S = 20.0
HEARTBEATS = int(os.environ.get("AWLOG_TEST_STREAM_HEARTBEATS", "50000"))
"""How many of them the longest test sends. A million takes some minutes."""


def connected(server: Server, queue: Path, **options: Any) -> AsyncClient:
    return AsyncClient("test", host=server.host, port=server.port, queue_path=queue, **options)


def starts_s(server: Server, bucket: str) -> list[float]:
    """Oldest first."""
    with Client("test", host=server.host, port=server.port) as client:
        return [(one.timestamp - TEN).total_seconds() for one in reversed(client.get_events(bucket))]


async def test_what_is_queued_is_there_after_a_flush(server: Server, name: str, tmp_path: Path):
    async with connected(server, tmp_path / "queue") as client:
        await client.create_bucket(name, "test.type", queued=True)
        for second in range(10):
            await client.heartbeat(name, event(second, n=second // 5), pulsetime=2, queued=True)
        await client.flush()
        assert [one.duration.total_seconds() for one in await client.get_events(name)] == [4, 4]


def test_the_same_without_asyncio(server: Server, name: str, tmp_path: Path):
    with Client("test", host=server.host, port=server.port, queue_path=tmp_path / "queue") as client:
        client.create_bucket(name, "test.type", queued=True)
        client.heartbeats(name, [event(second) for second in range(100)], pulsetime=2)
        client.flush()
        assert [one.duration.total_seconds() for one in client.get_events(name)] == [99]


async def test_what_is_queued_while_the_server_is_away_is_sent_when_it_is_back(tmp_path: Path):
    """The bucket is made before; a client that ended in between goes on from its file."""
    server = Server(tmp_path / "data")
    async with connected(server, tmp_path / "queue") as client:
        await client.create_bucket("b", "test.type", queued=True)
        await client.heartbeat("b", event(0), pulsetime=1, queued=True)
    async with connected(server, tmp_path / "queue") as client:
        await client.heartbeat("b", event(10), pulsetime=1, queued=True)
        flushing = asyncio.create_task(client.flush())
        with server.start():
            await flushing
            assert starts_s(server, "b") == [0, 10]


async def test_a_client_that_was_killed_goes_on_where_it_was(server: Server, name: str, tmp_path: Path):
    """Whatever it was told is queued is in the file, and is sent by the next one that opens it."""
    program = f"""
from awlog.client import Client, Event
from datetime import datetime, timedelta
with Client("test", port={free_port()}, queue_path={str(tmp_path / "queue")!r}) as client:
    client.create_bucket({name!r}, "test.type", queued=True)
    second = 0
    while True:
        moment = datetime.fromisoformat({TEN.isoformat()!r}) + timedelta(seconds=second)
        client.heartbeat({name!r}, Event(moment), 0.5, queued=True)
        print(second, flush=True)
        second += 1
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(200):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].split("\n")
    last = int(rest[-2]) if len(rest) > 1 else last
    async with connected(server, tmp_path / "queue") as client:
        await client.flush()
    sent = starts_s(server, name)
    assert sent == list(range(len(sent)))
    assert len(sent) in (last + 1, last + 2), "at most the one on its way besides"


async def test_a_server_killed_ten_times_during_a_stream_loses_nothing_and_doubles_nothing(tmp_path: Path):
    """Half of the heartbeats open an event each, so that each that is lost or taken twice shows; the others all merge."""
    server = Server(tmp_path / "data").start()
    batch, deaths = 250, 10
    shares = [range(at, HEARTBEATS // 2, deaths + 1) for at in range(deaths + 1)]
    end = 0

    async def queue(count: int) -> None:
        """The next seconds, to both buckets."""
        nonlocal end
        seconds = range(end, end + count)
        end += count
        await client.heartbeats("single", [event(second, n=second) for second in seconds], pulsetime=0)
        await client.heartbeats("merging", [event(second) for second in seconds], pulsetime=1)

    async with connected(server, tmp_path / "queue") as client:
        await client.create_bucket("single", "test.type", queued=True)
        await client.create_bucket("merging", "test.type", queued=True)
        await client.flush()
        for share in shares[:-1]:
            before, batches = await client.get_eventcount("single"), len(share) // batch
            for _ in range(batches // 2):
                await queue(batch)
            while await client.get_eventcount("single") == before:
                await asyncio.sleep(0.001)
            on_their_way = asyncio.gather(*(queue(batch) for _ in range(batches - batches // 2)))
            await asyncio.to_thread(server.kill)
            await on_their_way
            await asyncio.to_thread(server.start)
        await queue(HEARTBEATS // 2 - end)
        await client.flush()
        (merged,) = await client.get_events("merging")
        assert merged.duration == timedelta(seconds=HEARTBEATS // 2 - 1)
    assert starts_s(server, "single") == list(range(HEARTBEATS // 2))
    assert server.stop() == 0


async def test_a_resent_batch_counts_once_also_where_heartbeats_alone_would_not(tmp_path: Path):
    """The answer to a batch is lost; meanwhile somebody deleted an event of it: it stays deleted."""
    with Server(tmp_path / "data") as server:
        async with connected(server, tmp_path / "queue") as client:
            await client.create_bucket("b", "test.type", queued=True)
            await client.heartbeats("b", [event(0), event(10)], pulsetime=1)
            await client.flush()
            (newest, _) = await client.get_events("b")
            assert newest.id is not None
            await client.delete_event("b", newest.id)
        database = sqlite3.connect(tmp_path / "queue")  # as if the answer had not come
        lines = [
            (n, json.dumps({"bucket": "b", "pulsetime": 1, "event": {"timestamp": TEN.isoformat()}})) for n in (1, 2)
        ]
        database.executemany("INSERT INTO lines VALUES (?, CAST(? AS BLOB))", lines)
        database.commit()
        database.close()
        async with connected(server, tmp_path / "queue") as client:
            await client.flush()
        assert starts_s(server, "b") == [0]


async def test_what_the_server_will_never_take_is_told_and_holds_up_nothing(server: Server, name: str, tmp_path: Path):
    told: list[Refusal] = []
    async with connected(server, tmp_path / "queue", on_refused=told.append) as client:
        await client.create_bucket(name, "test.type", queued=True)
        await client.heartbeat("no such bucket", event(0), pulsetime=1, queued=True)
        await client.heartbeat(name, event(0), pulsetime=1, queued=True)
        await client.flush()
        assert await client.get_eventcount(name) == 1
    assert [(refusal.sequence, refusal.type) for refusal in told] == [(1, "NoSuchBucket")]


async def test_a_mistake_in_what_is_told_holds_up_nothing(server: Server, name: str, tmp_path: Path):
    def fail(_refusal: Refusal) -> None:
        raise LookupError("a mistake of the program")

    async with connected(server, tmp_path / "queue", on_refused=fail) as client:
        await client.create_bucket(name, "test.type", queued=True)
        for bucket in ("no such bucket", name):
            await client.heartbeat(bucket, event(0), pulsetime=1, queued=True)
            async with asyncio.timeout(PATIENCE_S):
                await client.flush()
        assert await client.get_eventcount(name) == 1


async def test_what_something_else_answers_is_no_acknowledgement(server: Server, name: str, tmp_path: Path):
    """A page of a network that wants a login answers everything with 200; later the server is there again."""

    async def login_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nlogin!")
        await writer.drain()
        writer.close()

    asked, port = asyncio.Event(), free_port()
    other = await asyncio.start_server(login_page, "127.0.0.1", port)
    with Client("test", host=server.host, port=server.port) as direct:
        direct.create_bucket(name, "test.type")
    async with AsyncClient("test", host="127.0.0.1", port=port, queue_path=tmp_path / "queue") as client:
        await client.heartbeat(name, event(0), pulsetime=1, queued=True)
        await asyncio.wait_for(asked.wait(), PATIENCE_S)
        asked.clear()
        await asyncio.wait_for(asked.wait(), PATIENCE_S)  # it is tried again
    other.close()
    async with connected(server, tmp_path / "queue") as client:
        await client.flush()
    assert starts_s(server, name) == [0]


async def test_a_bucket_that_the_server_refuses_is_an_error_of_the_flush(server: Server, tmp_path: Path):
    async with connected(server, tmp_path / "queue") as client:
        await client.create_bucket("line\nbreak", "test.type", queued=True)
        with pytest.raises(RequestRefused):
            await client.flush()


async def test_who_waits_for_a_flush_is_told_of_a_disconnect(tmp_path: Path):
    client = AsyncClient("test", port=free_port(), queue_path=tmp_path / "queue")
    await client.connect()
    await client.heartbeat("b", event(0), pulsetime=1, queued=True)
    flushing = asyncio.create_task(client.flush())
    await asyncio.sleep(0)
    await client.disconnect()
    with pytest.raises(QueueUnusable):
        await asyncio.wait_for(flushing, PATIENCE_S)


def test_who_waits_for_a_flush_in_another_thread_is_told_too(tmp_path: Path):
    client = Client("test", port=free_port(), queue_path=tmp_path / "queue")
    client.connect()
    client.heartbeat("b", event(0), pulsetime=1, queued=True)
    with ThreadPoolExecutor(1) as other:
        flushing = other.submit(client.flush)
        client.disconnect()
        with pytest.raises((QueueUnusable, AssertionError)):  # the second if the thread comes late
            flushing.result(PATIENCE_S)


async def test_many_that_queue_at_once_share_a_sync(server: Server, name: str, tmp_path: Path):
    """And keep the order in which they were called."""
    async with connected(server, tmp_path / "queue") as client:
        await client.create_bucket(name, "test.type", queued=True)
        await asyncio.gather(*(client.heartbeat(name, event(2 * n), pulsetime=1, queued=True) for n in range(500)))
        await client.flush()
    assert starts_s(server, name) == [2 * n for n in range(500)]


async def test_without_a_file_nothing_is_queued(server: Server, name: str):
    async with AsyncClient("test", host=server.host, port=server.port) as client:
        with pytest.raises(QueueUnusable, match="queue_path"):
            await client.heartbeat(name, event(0), pulsetime=1, queued=True)


def test_a_queue_belongs_to_one_process_at_a_time(tmp_path: Path):
    """Two would give one number to two heartbeats."""
    queue = DiskQueue(tmp_path / "queue")
    with pytest.raises(QueueUnusable, match="another process"):
        DiskQueue(tmp_path / "queue")
    queue.close()
    DiskQueue(tmp_path / "queue").close()


def test_what_is_no_queue_is_left_alone(tmp_path: Path):
    path = tmp_path / "queue"
    path.write_bytes(b"something else entirely, longer than a header " * 100)
    before = path.read_bytes()
    with pytest.raises(QueueUnusable):
        DiskQueue(path)
    assert path.read_bytes() == before


def test_a_queue_of_a_later_format_is_left_alone(tmp_path: Path):
    DiskQueue(tmp_path / "queue").close()
    database = sqlite3.connect(tmp_path / "queue")
    database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(QueueUnusable, match="format 2"):
        DiskQueue(tmp_path / "queue")


def test_numbers_rise_for_ever(tmp_path: Path):
    """Also when everything was sent and the file was closed in between."""
    queue = DiskQueue(tmp_path / "queue")
    assert queue.append([b"a", b"b"]) == 2
    assert queue.oldest(10) == (1, [b"a", b"b"])
    queue.drop(2)
    assert queue.oldest(10) == (0, [])
    producer = queue.producer_id
    queue.close()
    queue = DiskQueue(tmp_path / "queue")
    assert (queue.producer_id, queue.append([b"c"])) == (producer, 3)
    queue.close()


def test_an_event_is_sent_as_it_is(server: Server, name: str, tmp_path: Path):
    """To the microsecond, with any data."""
    one = Event(TEN + timedelta(microseconds=1), timedelta(microseconds=3), {"t": '\n"ä🪟', "n": [1, 2.5, None]})
    with Client("test", host=server.host, port=server.port, queue_path=tmp_path / "queue") as client:
        client.create_bucket(name, "test.type", queued=True)
        client.heartbeat(name, one, pulsetime=1, queued=True)
        client.flush()
        (stored,) = client.get_events(name)
    assert (stored.timestamp, stored.duration, stored.data) == (one.timestamp, one.duration, one.data)


def test_a_queue_that_was_long_gives_back_its_room(tmp_path: Path):
    """At the next opening, when everything was sent."""
    queue = DiskQueue(tmp_path / "queue")
    last = queue.append([b"x" * 1000] * 2000)
    queue.close()
    long_bytes = (tmp_path / "queue").stat().st_size
    queue = DiskQueue(tmp_path / "queue")
    queue.drop(last)
    queue.close()
    DiskQueue(tmp_path / "queue").close()
    assert (tmp_path / "queue").stat().st_size * 20 < long_bytes


def test_a_queue_is_for_its_owner_alone(tmp_path: Path):
    """It holds what was recorded."""
    queue = DiskQueue(tmp_path / "new folder" / "queue")
    queue.append([b"a"])
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new folder").iterdir()} == {0o600}
    queue.close()


def test_lines_are_read_from_the_disk_as_far_as_they_fill_a_batch(tmp_path: Path):
    """However long an outage was and the lines are: memory is bounded."""
    queue = DiskQueue(tmp_path / "queue")
    line = b"x" * (OLDEST_BYTES // 2)
    queue.append([line] * 5)
    assert queue.oldest(8192) == (1, [line, line])
    queue.drop(2)
    assert queue.oldest(1) == (3, [line])
    queue.close()


def test_a_full_disk_refuses_what_is_queued_and_takes_it_when_there_is_room(tmp_path: Path):
    program = f"""
import resource, signal
from pathlib import Path
from awlog.client import QueueUnusable
from awlog.client.queue import DiskQueue
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
queue = DiskQueue(Path({str(tmp_path / "queue")!r}))
queue.append([b"before"])
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
for _ in range(2):
    try:
        queue.append([b"x" * 3_000_000])
    except QueueUnusable as error:
        assert "rollback" not in str(error), error
    else:
        raise AssertionError("the disk is full")
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
assert queue.append([b"after"]) == 2
assert queue.oldest(10) == (1, [b"before", b"after"])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
