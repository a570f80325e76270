"""Streams of heartbeats whose server is killed, and streams that are longer than any memory should be."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from tests.server import Server

BATCH = 200


def line(number: int, *, merging: bool = False) -> str:
    """Each of another second and, unless it is to merge, of other data: so each opens an event."""
    minutes, second = divmod(number, 60)
    stamp = f"2024-05-{1 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:{second:02}Z"
    data = {} if merging else {"n": number}
    return json.dumps({"bucket": "b", "pulsetime": 1, "event": {"timestamp": stamp, "data": data}})


async def hello(connection: aiohttp.ClientWebSocketResponse) -> int:
    await connection.send_str('{"producer": "phone"}')
    return int((await connection.receive_json())["sequence"])


async def test_the_number_of_a_producer_and_its_heartbeats_are_never_apart(tmp_path: Path):
    """Killed at any moment: as many events as its number says, no less than was acknowledged; it goes on from there."""
    server = Server(tmp_path / "data").start()
    server.request("POST", "/api/0/buckets/b", {"type": "t", "client": "c", "hostname": "h"})
    acknowledged = 0
    for life in range(6):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/api/0/stream", protocols=["awlog.v1"]) as connection,
        ):
            first = await hello(connection)
            stored = json.loads(server.request("GET", "/api/0/buckets/b/events/count").body)
            assert stored == first >= acknowledged
            sending = asyncio.create_task(_send_for_ever(connection, first))
            async for message in connection:
                acknowledged = json.loads(message.data)["sequence"]
                if acknowledged >= first + (life + 1) * BATCH:
                    break
            await asyncio.to_thread(server.kill)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        await asyncio.to_thread(server.start)
    events = json.loads(server.request("GET", "/api/0/buckets/b/events").body)
    assert [event["data"]["n"] for event in reversed(events)] == list(range(len(events)))
    assert server.stop() == 0


async def _send_for_ever(connection: aiohttp.ClientWebSocketResponse, number: int) -> None:
    while True:
        await connection.send_str("\n".join(line(each) for each in range(number, number + BATCH)))
        number += BATCH


def test_a_stream_of_any_length_takes_no_more_memory_than_a_short_one(tmp_path: Path):
    """Three times as long as the longest body: what has passed is not held."""
    with Server(tmp_path / "data", "--max-body-bytes", str(16 << 20)) as server:
        server.request("POST", "/api/0/buckets/b", {"type": "t", "client": "c", "hostname": "h"})
        _stream(server, 1 << 20)
        before = _peak_bytes(server)
        line_count = _stream(server, 48 << 20)
        assert _peak_bytes(server) - before < 8 << 20
        assert line_count > 300_000


def _stream(server: Server, length_bytes: int) -> int:
    """Sends so much, in chunks, on one connection; how many lines it was."""
    sent_lines = 0
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(
            b"POST /api/0/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for lines in _blocks(length_bytes):
            connection.sendall(b"%x\r\n%b\r\n" % (len(lines), lines))
            sent_lines += lines.count(b"\n")
        connection.sendall(b"0\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
    assert b'"durable":%d,' % sent_lines in answer
    return sent_lines


def _blocks(length_bytes: int) -> Iterator[bytes]:
    block = "".join(f"{line(number, merging=True)}\n" for number in range(1000)).encode()
    for _ in range(length_bytes // len(block) + 1):
        yield block


def _peak_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10
